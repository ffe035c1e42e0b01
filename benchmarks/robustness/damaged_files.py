"""Image files in odd formats and modes, and what may happen to them."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, PngImagePlugin

SUFFIXES = (".png", ".jpg", ".bmp", ".gif", ".tif", ".webp", ".ppm", ".PNG", ".jpeg", ".jfif")
_SIDES = (1, 2, 3, 7, 8, 16, 31, 40)
# Format -> the modes in which Pillow writes it.
_MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"),
    "JPEG": ("1", "L", "RGB", "CMYK", "YCbCr"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"),
    "PPM": ("1", "L", "RGB", "RGBA", "I;16", "F"),
    "WEBP": ("L", "RGB", "RGBA", "P"),
}
_SIGNATURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", b"\xff\xd8\xff\xe1", b"BM"),
    *(b"GIF89a", b"II*\x00", b"MM\x00*", b"II+\x00", b"RIFF\x10\x00\x00\x00WEBPVP8 ", b"P5\n"),
    *(b"P6 ", b"P1\n", b"P7\n", b"Pf\n", b"8BPS", b"\x00\x00\x00\x0cjP  ", b""),
)


def whole_file(rng: np.random.Generator) -> bytes:
    """An image file that is whole, in any format and mode, with any options."""
    form = str(rng.choice([*_MODES]))
    mode = str(rng.choice(_MODES[form]))
    height, width = (int(side) for side in rng.choice(_SIDES, 2))
    image = _image(rng, mode, (height, width))
    options = _options(rng, form, mode, image.size)
    file = io.BytesIO()
    try:
        image.save(file, form, **options)
        return file.getvalue()
    except Exception:  # options that do not go together; Pillow's writers raise dozens of types
        file = io.BytesIO()
        Image.new("L", image.size, 7).save(file, "PNG")
        return file.getvalue()


def _image(rng: np.random.Generator, mode: str, shape: tuple[int, int]) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, shape, np.uint16))
    if mode == "I":
        top = int(rng.choice([255, 4095, 65535, 2**31 - 1]))
        return Image.fromarray(rng.integers(0, top, shape).astype(np.int32))
    if mode == "F":
        return Image.fromarray(rng.normal(100, 300, shape).astype(np.float32))
    image = Image.fromarray(rng.integers(0, 256, (*shape, 4), np.uint8), "RGBA")
    if mode == "PA":
        return image.convert("RGB").convert("P").convert("PA")
    if mode in ("CMYK", "YCbCr", "LAB", "P"):
        image = image.convert("RGB")
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    return image.convert(mode)


def _options(
    rng: np.random.Generator, form: str, mode: str, size: tuple[int, int]
) -> dict[str, object]:
    options: dict[str, object] = {}
    if rng.random() < 0.3 and form in ("PNG", "JPEG", "TIFF", "WEBP"):
        exif = Image.Exif()
        exif[0x112] = int(rng.integers(0, 12))
        options["exif"] = exif.tobytes()[: int(rng.integers(8, 60))]
    if form == "PNG":
        if mode in ("L", "P", "RGB", "1") and rng.random() < 0.3:
            options["transparency"] = (1, 2, 3) if mode == "RGB" else 1
        if rng.random() < 0.2:
            text = PngImagePlugin.PngInfo()
            text.add_text("Comment", "x" * int(rng.choice([10, 10_000])), zip=True)
            options["pnginfo"] = text
    if form == "JPEG":
        options |= {"quality": int(rng.integers(1, 100)), "progressive": bool(rng.random() < 0.3)}
    if form == "TIFF" and rng.random() < 0.6:
        names = ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4", "tiff_adobe_deflate")
        options["compression"] = str(rng.choice(names))
    if form in ("GIF", "TIFF", "PNG", "WEBP") and rng.random() < 0.2:
        other = Image.new(mode if mode not in ("I;16",) else "L", size)
        options |= {"save_all": True, "append_images": [other]}
    if form == "WEBP":
        options["lossless"] = bool(rng.random() < 0.5)
    return options


def _flipped(rng: np.random.Generator, data: bytearray) -> bytearray:
    for place in rng.integers(0, len(data), int(rng.choice([1, 2, 8, 64]))):
        data[place] = int(rng.integers(0, 256))
    return data


def _header_altered(rng: np.random.Generator, data: bytearray) -> bytearray:
    for place in rng.integers(0, min(80, len(data)), int(rng.integers(1, 5))):
        data[place] = int(rng.choice([0, 1, 2, 16, 127, 128, 255, int(rng.integers(0, 256))]))
    return data


def _truncated(rng: np.random.Generator, data: bytearray) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def _cut_out(rng: np.random.Generator, data: bytearray) -> bytearray:
    start, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    return data[:start] + data[end:]


def _inserted(rng: np.random.Generator, data: bytearray) -> bytearray:
    place = int(rng.integers(0, len(data)))
    return data[:place] + rng.bytes(int(rng.integers(1, 200))) + data[place:]


def _repeated(rng: np.random.Generator, data: bytearray) -> bytearray:
    start, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    return data[:end] + data[start:]


def _tail_zeroed(rng: np.random.Generator, data: bytearray) -> bytearray:
    place = int(rng.integers(0, len(data)))
    return data[:place] + bytes(len(data) - place)


def _random_bytes(rng: np.random.Generator, _: bytearray) -> bytearray:
    signature = _SIGNATURES[int(rng.integers(len(_SIGNATURES)))]
    return bytearray(signature + rng.bytes(int(rng.choice([0, 1, 30, 3000]))))


def _left_alone(_: np.random.Generator, data: bytearray) -> bytearray:
    return data


def _checksums_mended(rng: np.random.Generator, data: bytearray) -> bytearray:
    """A PNG whose chunks are altered with right checksums, so that the damage reaches decoders."""
    if not data.startswith(b"\x89PNG"):
        return _flipped(rng, data)
    result, place = data[:8], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunk = bytearray(data[place + 4 : place + 8 + length])
        if len(chunk) > 4 and rng.random() < 0.5:
            chunk[int(rng.integers(4, len(chunk)))] = int(rng.integers(0, 256))
        result += struct.pack(">I", length) + chunk + struct.pack(">I", zlib.crc32(chunk))
        place += 12 + length
    return result


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _bomb(rng: np.random.Generator, _: bytearray) -> bytearray:
    """A small file that claims to be huge, or that grows when it is read."""
    side = int(rng.choice([9_000, 20_000, 65_535, 2**31 - 1]))
    small = min(side, 65_535)
    header = struct.pack(">IIBBBBB", side, side, 8, int(rng.choice([0, 2, 3, 6])), 0, 0, 0)
    zeros = zlib.compress(bytes(10**6))
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7)))
    profile = _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**7)))
    one = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
    png = b"\x89PNG\r\n\x1a\n"
    entries = ((256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1))
    tags = b"".join(struct.pack("<HHII", *entry) for entry in (*entries, (273, 4, 1, 8)))
    bombs = (
        png + _chunk(b"IHDR", header) + _chunk(b"IDAT", zeros) + _chunk(b"IEND", b""),
        png + _chunk(b"IHDR", one) + text + pixel,
        png + _chunk(b"IHDR", one) + profile + pixel,
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, side, side, 1, 24, *(0,) * 6),
        b"GIF89a" + struct.pack("<HHBBB", small, small, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0;",
        b"P5 %d %d 255\n" % (side, side),
        b"P4 %d %d\n" % (side, side),
        b"II*\0\x08\0\0\0" + struct.pack("<H", 6) + tags + bytes(4),
        b"II*\0\x08\0\0\0" + struct.pack("<H", 65535) + tags,
    )
    return bytearray(bombs[int(rng.integers(len(bombs)))])


def _largest_allowed(rng: np.random.Generator, _: bytearray) -> bytearray:
    """A PNG of as many pixels as are allowed, all of one colour, in any depth."""
    kind = int(rng.choice([0, 2, 3, 4, 6]))
    depth = 8 if kind == 3 or rng.random() < 0.5 else 16
    return bytearray(plain_png(8000 if rng.random() < 0.3 else 3000, depth, kind))


def plain_png(side: int, depth: int, kind: int) -> bytes:
    """A square PNG of one colour.

    Args:
        side: in pixels.
        depth: bits of each value, 8 or 16.
        kind: PNG's colour type: 0 grey, 2 RGB, 3 palette, 4 grey with opacity, 6 RGB with opacity.
    """
    row = bytes(1 + side * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] * depth // 8)
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    palette = _chunk(b"PLTE", bytes(6)) + _chunk(b"tRNS", b"\x80") if kind == 3 else b""
    header = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0)
    body = palette + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + body


Damage = Callable[[np.random.Generator, bytearray], bytearray]
# Name -> the damage and how often it is drawn.
DAMAGES: dict[str, tuple[Damage, float]] = {
    "none": (_left_alone, 10),
    "bytes altered": (_flipped, 20),
    "header altered": (_header_altered, 20),
    "PNG altered, checksums mended": (_checksums_mended, 10),
    "truncated": (_truncated, 10),
    "piece cut out": (_cut_out, 5),
    "bytes inserted": (_inserted, 5),
    "piece repeated": (_repeated, 5),
    "tail zeroed": (_tail_zeroed, 5),
    "random bytes": (_random_bytes, 5),
    "claims to be huge": (_bomb, 5),
    "as large as allowed": (_largest_allowed, 0.15),
}


def damaged_file(rng: np.random.Generator) -> tuple[str, bytes, str]:
    """Draws a file.

    Returns:
        The name of the damage, the content, and a suffix, which need not be that of the format.
    """
    weights = np.array([weight for _, weight in DAMAGES.values()])
    name = [*DAMAGES][int(rng.choice(len(DAMAGES), p=weights / weights.sum()))]
    data = bytearray(whole_file(rng))
    return name, bytes(DAMAGES[name][0](rng, data)), str(rng.choice(SUFFIXES))
