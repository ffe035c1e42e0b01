"""docs/file_formats.md holds for every reader, line by line; 40 files have one score everywhere."""

import functools
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from export import runtime
from export.batch.worker import score_rows
from export.encoded import decode
from export.runtime import InputShift, Scorer
from export.serving.client import Client
from export.serving.stand_in import serve
from ganad_tf.data.image_files import decoding

pillow_heif.register_heif_opener()  # to write files
PAGE = Path(__file__).parents[2] / "docs" / "file_formats.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| file |")
]
GREY, COLOUR = (28, 28, 1), (28, 28, 3)
WITHOUT_HEIF = "HEIC, without pillow-heif"


@pytest.fixture(autouse=True)
def _heif(monkeypatch, _default_installation):
    monkeypatch.setitem(sys.modules, "pillow_heif", pillow_heif)
    assert runtime.reads_heif()


def noise(*shape, most=256, dtype=np.uint8):
    """Blocks of 4 x 4 equal pixels, so that compression keeps most of them."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, most, (-(-shape[0] // 4), -(-shape[1] // 4), *shape[2:]))
    return blocks.repeat(4, 0).repeat(4, 1)[: shape[0], : shape[1]].astype(dtype)


def picture(mode="RGB", size=(28, 20)):
    return Image.fromarray(noise(*size[::-1], 3)).convert(mode)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation, kind, **options):
    exif = Image.Exif()
    exif[0x112] = orientation
    return encoded(picture(), kind, exif=exif.tobytes(), **options)


def frames(kind, mode="RGB", **options):
    second = picture(mode).transpose(Image.Transpose.ROTATE_180)
    return encoded(picture(mode), kind, save_all=True, append_images=[second], **options)


def deep_png(values, colour_type):
    """A 16-bit PNG; of colours, Pillow cannot write one."""

    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(values, **options):
    return encoded(Image.fromarray(values), "TIFF", **options)


def deep_tiff(values, **options):
    """A TIFF as other programs write it."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def colour_tiff(planarconfig="contig", **options):
    values = deep(20, 28, 3)
    planes = values if planarconfig == "contig" else values.transpose(2, 0, 1)
    return deep_tiff(planes, photometric="rgb", planarconfig=planarconfig, **options)


def deep(*shape):
    return noise(*shape, most=65536, dtype=np.uint16)


# 16-bit PNGs: grey, colour, grey with opacity, colour with opacity.
DEEP = [deep_png(deep(20, 28, count), kind) for count, kind in ((1, 0), (3, 2), (2, 4), (4, 6))]

# The files of each line of the table.
FILES = {
    "PNG: grey, colour, palette, 1 bit": [
        encoded(picture(mode), "PNG") for mode in ("L", "RGB", "P", "1")
    ],
    "PNG with transparency": [
        encoded(picture("RGB").convert("RGBA").rotate(9), "PNG"),
        encoded(picture("L").convert("LA").rotate(9), "PNG"),
        encoded(picture("P"), "PNG", transparency=bytes(range(200))),
        encoded(picture("L"), "PNG", transparency=int(np.asarray(picture("L"))[0, 0])),
    ],
    "PNG of 16 bits, grey or colour, with transparency or not": DEEP,
    "PNG, animated": [frames("PNG")],
    "JPEG (`.jpg .jpeg .jpe .jfif`)": [
        encoded(picture(), "JPEG", quality=90),
        encoded(picture(), "JPEG", progressive=True),
        encoded(picture("L"), "JPEG"),
    ],
    "PNG, JPEG or WebP with an EXIF orientation": [
        turned(6, "PNG"),
        turned(3, "JPEG"),
        turned(8, "WEBP", lossless=True),
    ],
    "BMP: grey or colour": [encoded(picture(mode), "BMP") for mode in ("RGB", "L", "RGBA")],
    "BMP with a palette, or of 1 bit": [encoded(picture(mode), "BMP") for mode in ("P", "1")],
    "GIF": [encoded(picture(), "GIF"), frames("GIF")],
    "WebP": [
        encoded(picture(), "WEBP", lossless=True),
        encoded(picture("RGBA").rotate(9), "WEBP", lossless=True),
    ],
    "WebP, animated": [frames("WEBP", lossless=True)],
    "TIFF of 8 bits": [
        encoded(picture(mode), "TIFF") for mode in ("L", "RGB", "CMYK", "P", "RGBA")
    ],
    "TIFF of 16 bits, grey or colour": [
        tiff(deep(20, 28)),
        tiff(deep(20, 28), compression="tiff_lzw"),
        colour_tiff(),
        colour_tiff(planarconfig="separate", compression="deflate"),
    ],
    "TIFF of 16 bits where 0 is white": [deep_tiff(deep(20, 28), photometric="miniswhite")],
    "TIFF of 16-bit colours, plane by plane and uncompressed": [
        colour_tiff(planarconfig="separate")
    ],
    "TIFF of several pages": [frames("TIFF")],
    "TIFF of 32-bit whole numbers up to 65535": [tiff(deep(20, 28).astype(np.int32))],
    "TIFF of larger or negative numbers": [
        tiff(np.full((20, 28), value, np.int32)) for value in (70000, -1)
    ],
    "TIFF of 32-bit floating-point numbers": [tiff(np.zeros((20, 28), np.float32))],
    "TIFF of signed 8-bit numbers": [tiff(noise(20, 28), tiffinfo={339: 2})],
    "PGM, PPM, PBM": [encoded(picture(mode), "PPM") for mode in ("L", "RGB", "1")],
    "JPEG 2000 (`.jp2 .j2k`)": [
        encoded(picture(), "JPEG2000"),
        encoded(Image.fromarray(deep(32, 32)), "JPEG2000"),
    ],
    "HEIC (`.heic .heif`), with `pip install pillow-heif`": [
        encoded(picture(size=(64, 48)), "HEIF", quality=90),
        turned(6, "HEIF", quality=90),
    ],
    WITHOUT_HEIF: [encoded(picture(size=(64, 48)), "HEIF")],
    "a damaged or cut file": [
        encoded(picture(size=(99, 99)), kind)[:-300] for kind in ("PNG", "JPEG", "BMP")
    ],
    "another content, such as AVIF": [b"", b"not an image", b"\0\0\0\x1cftypavif" + bytes(60)],
    "more pixels than `--max-pixels`": [encoded(picture(size=(200, 51)), "PNG")],
}
LIMIT = 10_000


def by_training(data, shape, path, resize="stretch"):
    """The pixels, or the reason why there are none."""
    path.write_bytes(data)
    try:
        with decoding.open_image(path, LIMIT) as image:
            return decoding.prepare(image, shape, resize)
    except Exception as error:
        return decoding.describe(error)


def by_runtime(data, shape, resize="stretch"):
    try:
        with runtime.open_image(data, LIMIT) as image:
            return runtime.prepare(image, shape, resize, max_pixels=LIMIT)
    except Exception as error:
        return runtime.describe_unreadable(error)


@functools.cache
def serving_graph(shape, resize):
    """What the signature `serve_encoded` does with a file before it is scored."""
    signature = [tf.TensorSpec((None,), tf.string)]
    return tf.function(lambda data: decode(data, shape, resize), input_signature=signature)


def by_serving(data, shape, resize="stretch"):
    try:
        return serving_graph(shape, resize)(tf.constant([data])).numpy()[0]
    except tf.errors.InvalidArgumentError:
        return "refused"


def test_the_table_and_the_files_are_the_same():
    assert [row[0] for row in ROWS] == list(FILES)


@pytest.mark.parametrize(("name", "rule", "served"), ROWS, ids=[row[0] for row in ROWS])
def test_a_line_of_the_table_holds_for_its_files(name, rule, served, tmp_path, monkeypatch):
    if name == WITHOUT_HEIF:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for data in FILES[name]:
        ours = by_runtime(data, COLOUR)
        theirs = by_training(data, COLOUR, tmp_path / "file")
        if rule.startswith("refused: "):
            assert ours == theirs
            assert ours.startswith(rule.removeprefix("refused: ").split(" ...")[0])
        else:
            np.testing.assert_array_equal(ours, theirs)
            assert ours.std() > 20
        if served == "read" and not isinstance(ours, str):
            np.testing.assert_array_equal(by_serving(data, COLOUR), ours)
        elif served == "refused":
            assert isinstance(by_serving(data, COLOUR), str)


def test_a_thumbnail_in_a_heic_file_is_not_taken_for_the_picture(tmp_path):
    small, path = (16, 16, 3), tmp_path / "photo.heic"
    picture = pillow_heif.from_pillow(Image.fromarray(noise(64, 64, 3)))
    picture[0].info["thumbnails"] = [32]
    picture.save(path)
    assert pillow_heif.open_heif(path).info["thumbnails"]
    with runtime.open_image(path) as image:
        image.load()  # the picture itself
        expected = runtime.prepare(image, small)
    data = path.read_bytes()
    np.testing.assert_array_equal(by_runtime(data, small), expected)
    np.testing.assert_array_equal(by_training(data, small, path), expected)


def test_the_first_of_several_frames_or_pages_is_used():
    for name in ("PNG, animated", "TIFF of several pages", "GIF", "WebP, animated"):
        expected = by_runtime(encoded(picture(), "PNG"), COLOUR)
        found = by_runtime(FILES[name][-1], COLOUR).astype(int)
        assert np.abs(found - expected).mean() < 8, name  # a GIF has 256 colours


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "HEIF"])
def test_a_turned_photo_is_shown_upright(kind):
    plain = by_runtime(encoded(picture().rotate(-90, expand=True), kind, quality=95), COLOUR)
    found = by_runtime(turned(6, kind, quality=95), COLOUR).astype(int)
    assert np.abs(found - plain).mean() < 8


# 8 orientations in two formats, then modes, formats, sizes, and files that nobody can read.
MATRIX = {
    **{f"turned {turn}.png": turned(turn, "PNG") for turn in range(1, 9)},
    **{f"turned {turn}.jpg": turned(turn, "JPEG", quality=95) for turn in range(1, 9)},
    **{f"mode {mode}.png": encoded(picture(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA")},
    **{f"16 bits, {number}.png": data for number, data in enumerate(DEEP)},
    "progressive.jfif": FILES["JPEG (`.jpg .jpeg .jpe .jfif`)"][1],
    "grey.jpe": FILES["JPEG (`.jpg .jpeg .jpe .jfif`)"][2],
    "plain.bmp": encoded(picture(), "BMP"),
    "animated.gif": FILES["GIF"][1],
    "lossless.webp": FILES["WebP"][0],
    "animated.webp": FILES["WebP, animated"][0],
    "8 bits.tif": FILES["TIFF of 8 bits"][1],
    "16 bits.tiff": FILES["TIFF of 16 bits, grey or colour"][0],
    "pages.tif": FILES["TIFF of several pages"][0],
    "plain.ppm": FILES["PGM, PPM, PBM"][1],
    "plain.jp2": FILES["JPEG 2000 (`.jp2 .j2k`)"][0],
    "phone.heic": turned(6, "HEIF", quality=90),
    **{
        f"{wide}x{high}.png": encoded(picture(size=(wide, high)), "PNG")
        for wide, high in ((1, 1), (28, 28), (97, 3), (90, 61), (99, 28))
    },
    "float.tif": FILES["TIFF of 32-bit floating-point numbers"][0],
    "cut.png": FILES["a damaged or cut file"][0],
    "text.jpg": b"not an image",
    "large.png": encoded(picture("L", (200, 51)), "PNG"),
}
UNSERVED = (".tif", ".tiff", ".ppm", ".jp2", ".heic", "animated.webp")


@pytest.mark.parametrize("resize", runtime.RESIZE_MODES)
@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_every_reader_has_the_same_pixels(shape, resize, tmp_path):
    for name, data in MATRIX.items():
        ours = by_runtime(data, shape, resize)
        np.testing.assert_array_equal(
            by_training(data, shape, tmp_path / "file", resize), ours, err_msg=name
        )
        if not isinstance(ours, str) and not name.endswith(UNSERVED):
            served = by_serving(data, shape, resize).astype(int)
            # Padding makes other sizes, for which Pillow 13 may take the columns first.
            assert np.abs(served - ours).max() <= (resize == "pad"), name


def test_every_runtime_has_the_same_score_or_the_same_reason(
    detector, model_path, saved_model_path, tmp_path
):
    assert len(MATRIX) >= 40
    for name, data in MATRIX.items():
        (tmp_path / name).write_bytes(data)
    paths = {name: str(tmp_path / name) for name in MATRIX}
    scorer = Scorer(model_path, max_pixels=LIMIT)
    records = dict(zip(paths, scorer.score_files(paths.values()), strict=True))
    job = {"threshold": None, "regions": False, "pixel_threshold": None}
    rows = score_rows(scorer, paths.items(), job, InputShift(None))
    batch = {name: error or score for name, score, *_, error in rows}
    with serve(saved_model_path) as service:
        answers = Client(service.address).score_files(paths.values(), max_pixels=LIMIT)
        client = dict(zip(paths, answers, strict=True))
    encoded_scores = tf.saved_model.load(str(saved_model_path)).signatures["serve_encoded"]
    for name, record in records.items():
        pixels = by_training(MATRIX[name], GREY, tmp_path / "file")
        if "error" in record:
            assert record["error"] == pixels == batch[name] == client[name]["error"], name
            continue
        expected = pytest.approx(float(detector.run(pixels[None])["score"][0]), abs=1e-5)
        assert record["score"] == expected, name
        assert batch[name] == expected, name
        assert client[name]["score"] == expected, name
        if not name.endswith(UNSERVED):
            served = encoded_scores(encoded=tf.constant([MATRIX[name]]))["score"]
            assert float(served[0]) == expected, name
    refused = {name for name, record in records.items() if "error" in record}
    assert refused == {"float.tif", "cut.png", "text.jpg", "large.png"}
