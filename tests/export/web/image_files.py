"""Image files of every kind that the site reads, and broken ones."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth colours with a little noise."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 80 * np.sin(x / (5 + 3 * i)) + 40 * np.cos(y / (7 - i)) for i in range(3)]
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str, **settings) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **settings)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def raw_png(depth: int, colour_type: int, interlaced: bool, clear: bool = False) -> bytes:
    """A PNG of random bits, with every filter, in a form that Pillow does not write."""
    rng = np.random.default_rng(depth)
    width, height, channels = 37, 23, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    rows = b""
    for left, top, right, down in PASSES if interlaced else ((0, 0, 1, 1),):
        stride = (-(-(width - left) // right) * channels * depth + 7) // 8
        for y in range(-(-(height - top) // down)):
            # Small values: large ones of 16 bits would all become 255.
            rows += (
                bytes([y % 5])
                + rng.integers(0, 40 if depth == 16 else 256, stride, np.uint8).tobytes()
            )
    extra = b""
    if colour_type == 3:
        extra += chunk(b"PLTE", rng.integers(0, 256, 3 * 2**depth, np.uint8).tobytes())
    if clear:
        extra += chunk(b"tRNS", bytes([0, 128]) if colour_type == 3 else bytes([0, 1] * channels))
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    parts = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")


def other_colours() -> bytes:
    """A colour profile that swaps red and green, as far as colours are managed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def readable() -> dict[str, bytes]:
    """Name -> file, all of which must be read exactly as by Pillow."""
    image = picture(97, 131)
    grey, palette = image.convert("L"), image.quantize(32)
    colour, opacity = np.meshgrid(np.arange(256), np.arange(256))
    alpha = np.stack([colour, 255 - colour, colour * 3 % 256, opacity], -1).astype(np.uint8)
    clear = Image.fromarray(alpha)
    files = {
        "photo.jpg": encode(picture(600, 801), "JPEG"),
        "grey.jpg": encode(grey, "JPEG"),
        "progressive.jpg": encode(image, "JPEG", progressive=True),
        "444.jpg": encode(image, "JPEG", quality=95, subsampling=0),
        "422.jpg": encode(image, "JPEG", quality=50, subsampling=1),
        "profile.jpg": encode(image, "JPEG", icc_profile=other_colours()),
        "profile.webp": encode(image, "WEBP", icc_profile=other_colours()),
        "profile.png": encode(image, "PNG", icc_profile=other_colours()),
        "rgb.png": encode(image, "PNG"),
        "palette.png": encode(palette, "PNG", transparency=3),
        "clear.png": encode(clear, "PNG"),
        "clear.webp": encode(clear, "WEBP", lossless=True, exact=True),
        "lossy.webp": encode(image, "WEBP"),
        "palette.gif": encode(palette, "GIF", transparency=3),
        "rgb.bmp": encode(image, "BMP"),
        "16.png": encode(Image.fromarray(np.asarray(grey).astype(np.uint16) * 16), "PNG"),
    }
    for turn in range(2, 9):
        exif = Image.Exif()
        exif[0x112] = turn
        files[f"turned-{turn}.jpg"] = encode(image, "JPEG", exif=exif)
        files[f"turned-{turn}.png"] = encode(image, "PNG", exif=exif)
    for depth, colour_type in (
        *((1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)),
        *((1, 3), (2, 3), (4, 3), (8, 3), (8, 4), (16, 4), (8, 6), (16, 6)),
    ):
        name = f"{depth}-bit-{colour_type}"
        files[f"{name}.png"] = raw_png(depth, colour_type, interlaced=False)
        files[f"{name}-interlaced.png"] = raw_png(depth, colour_type, interlaced=True)
        if colour_type < 4:
            files[f"{name}-clear.png"] = raw_png(depth, colour_type, False, clear=True)
    return files


def broken() -> dict[str, bytes]:
    """Name -> file that Pillow refuses, and the site must refuse."""
    image = picture(97, 131)
    whole = {
        kind: encode(image.quantize(32) if kind == "GIF" else image, kind)
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP")
    }
    files = {f"cut.{kind.lower()}": data[: len(data) // 2] for kind, data in whole.items()}
    files["flipped.png"] = _flipped(whole["PNG"], len(whole["PNG"]) // 2)
    files["flipped-palette.png"] = _flipped(raw_png(8, 3, False), 60)
    files["text.png"] = b"not an image"
    files["empty.jpg"] = b""
    return files


def _flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]
