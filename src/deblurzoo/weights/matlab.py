"""Networks saved by matcaffe in MATLAB's format 5 (`.mat`), read by SciPy.

A variable, such as `Solver`, has the field `model`: a struct array with `layer_names` and `weights` of each layer.
"""

import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

from deblurzoo.weights.shapes import count_of

LARGEST = 2**28
"""Largest size of a file in bytes, after decompression."""
_HEADER, _DEEPEST = 128, 32
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS, _TEXT = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13}), frozenset({1, 2, 4, 16, 17, 18})
_TYPES = _NUMBERS | _TEXT | {_MATRIX}
"""Types of elements other than compressed ones."""
_CELL, _STRUCT, _CHAR, _NUMERIC = 1, 2, 4, range(6, 16)
"""Classes of arrays. SciPy would also read objects, sparse arrays and functions."""
_COMPLEX = 8


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return all blobs of a file by name, with the axes of Caffe: see `deblurzoo.weights.caffe.read`.

    Raises:
        ValueError: the file is damaged, too large or not of this format; the message is one line.
        OSError: the file cannot be read.
    """
    content = _decompressed(path.read_bytes())
    try:
        variables = loadmat(BytesIO(content))
        (model,) = (value["model"].flat[0] for value in variables.values() if _has_model(value))
        layers = {str(layer["layer_names"].item()): layer["weights"] for layer in model.flat}
        blobs = {f"{name}/{n}": blob for name, blobs in layers.items() for n, blob in enumerate(blobs.flat)}
    except Exception as error:  # SciPy raises exceptions of many types for damaged files
        raise ValueError("it is damaged, or has no variable with the field `model`") from error
    if len(layers) < model.size or any(blob.dtype.kind != "f" for blob in blobs.values()):
        raise ValueError("a layer occurs twice, or its weights are not numbers")
    return {name: blob.reshape(*blob.shape, *(1,) * (4 - blob.ndim)).transpose() for name, blob in blobs.items()}


def _has_model(variable: object) -> bool:
    return isinstance(variable, np.ndarray) and variable.size == 1 and "model" in (variable.dtype.names or ())


def _decompressed(content: bytes) -> bytes:
    """Return the content of an uncompressed file that SciPy can read in little time and memory.

    Raises:
        ValueError: a checksum is wrong, or an element does not end within its parent or has more values than bytes.
    """
    if content[:10] != b"MATLAB 5.0" or content[124:_HEADER] != b"\0\1IM":
        raise ValueError("it is no file of MATLAB's format 5: save it with `-v7`")
    parts, size = [content[:_HEADER]], 0
    for kind, start, end in _elements(memoryview(content), _HEADER, len(content), padded=False):
        if kind == _COMPRESSED:
            part = _inflated(content[start:end], LARGEST - size)
            if [kind for kind, *_ in _elements(memoryview(part), 0, len(part))] != [_MATRIX]:
                raise ValueError("a compressed element is not one variable")
        else:
            part = content[start - 8 : end]
        size += len(part)
        parts.append(part)
    whole = b"".join(parts)
    if len(whole) > LARGEST:
        raise ValueError(f"it has more than {LARGEST:,} bytes")
    for kind, start, end in _elements(memoryview(whole), _HEADER, len(whole)):
        _require_bounded(memoryview(whole), kind, start, end)
    return whole


def _inflated(data: bytes, most: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(data, max(most, 1))
    except zlib.error as error:
        raise ValueError("its compressed content is damaged") from error
    if not inflate.eof or inflate.unused_data:
        raise ValueError(f"its compressed content is truncated, or has more than {LARGEST:,} bytes")
    return content


def _elements(data: memoryview, place: int, end: int, padded: bool = True) -> Iterator[tuple[int, int, int]]:
    """Yield type, start and end of each element's content between two positions."""
    while place < end:
        if end - place < 8:
            raise ValueError("an element is cut off")
        kind, size = (int.from_bytes(data[place + n : place + n + 4], "little") for n in (0, 4))
        start = place + 8
        if kind >> 16:  # a small element: at most 4 bytes, in place of the size
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        if kind not in _TYPES and (padded or kind != _COMPRESSED):
            raise ValueError(f"an element has the unknown type {kind}")
        if size > end - start or (start == place + 4 and size > 4):
            raise ValueError("an element is cut off")
        yield kind, start, start + size
        place = place + 8 if start == place + 4 else start + (-(-size // 8) * 8 if padded else size)


def _require_bounded(data: memoryview, kind: int, start: int, end: int, depth: int = 0) -> None:
    """Raise a ValueError unless an element is an array whose numbers of values and of children agree with its size.

    SciPy does not check these numbers and the types of elements: it may use much memory, or crash.
    """
    if kind != _MATRIX or depth > _DEEPEST:
        raise ValueError("an array is missing, or nested too deeply")
    if start == end:  # an empty array
        return
    parts = list(_elements(data, start, end))
    if [part[0] for part in parts[:3]] != [_UINT32, _INT32, _INT8] or parts[0][2] - parts[0][1] != 8:
        raise ValueError("an array is damaged")
    group, (_, first, last) = data[parts[0][1]], parts[1]
    dims = np.frombuffer(data[first:last], "<i4").tolist() if (last - first) % 4 == 0 else []
    count = count_of(dims)
    if min(dims, default=-1) < 0 or len(dims) < 2:
        raise ValueError("the shape of an array is damaged")
    if group == _CELL or (group == _STRUCT and [part[0] for part in parts[3:5]] == [_INT32, _INT8]):
        children, fields = (parts[3:], 1) if group == _CELL else (parts[5:], _fields(data, parts[3], parts[4]))
        if count * fields != len(children) or (not fields and count > 1):
            raise ValueError("the number of fields of an array is damaged")
        for child in children:
            _require_bounded(data, *child, depth + 1)
        return
    kinds = _TEXT if group == _CHAR else _NUMBERS if group in _NUMERIC else frozenset[int]()
    is_complex = data[parts[0][1] + 1] & _COMPLEX
    if len(parts) != 4 or parts[3][0] not in kinds or is_complex or count > end - start:
        raise ValueError("an array is damaged, complex or of an unsupported class")


def _fields(data: memoryview, width: tuple[int, int, int], names: tuple[int, int, int]) -> int:
    """Return the number of fields of a struct: names have equal lengths."""
    length = int.from_bytes(data[width[1] : width[2]], "little")
    if width[2] - width[1] != 4 or not length or (names[2] - names[1]) % length:
        raise ValueError("the names of fields are damaged")
    return (names[2] - names[1]) // length
