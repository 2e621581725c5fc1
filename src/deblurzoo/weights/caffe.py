"""Caffe's weight files (`.caffemodel`), read without Caffe: messages of `caffe.proto`, also with layers of version 1.

The files have no checksums. Therefore, the structure is checked as far as it is known: fields and their types, shapes
and numbers of values, names, and whether each layer reads outputs of earlier layers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deblurzoo.weights.shapes import count_of
from deblurzoo.weights.wire import BYTES, FIXED32, VARINT, fields, require_message, text, varints


class _Version(NamedTuple):
    """Numbers of the fields of a layer, and the wire types of fields that are neither texts nor messages."""

    name: int
    blobs: int
    inputs: int
    outputs: int
    texts: frozenset[int]
    known: Mapping[int, int]


_CURRENT = _Version(1, 7, 3, 4, frozenset({1, 2, 3, 4}), {5: FIXED32, 10: VARINT, 11: VARINT})
_V1 = _Version(4, 6, 2, 3, frozenset({2, 3, 4, 1001}), {5: VARINT, 7: FIXED32, 8: FIXED32, 35: FIXED32, 1002: VARINT})
_VERSIONS = {2: _V1, 100: _CURRENT}
"""Versions of a layer, by the field of the network that contains it."""
_NET = {1: BYTES, 2: BYTES, 3: BYTES, 4: VARINT, 5: VARINT, 6: BYTES, 7: VARINT, 8: BYTES, 100: BYTES}
_BLOB = {**dict.fromkeys((1, 2, 3, 4), VARINT), **dict.fromkeys((5, 6, 7, 8, 9), BYTES)}
_DATA = {5: "<f4", 8: "<f8"}
_SHAPE = 7


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return all blobs of a file, by the name of the layer and the number of the blob: `conv1/0`, `conv1/1`.

    Weights have the shape (out, in, height, width) and, for deconvolutions, (in, out, height, width).

    Raises:
        ValueError: the file is damaged or not of this format; the message is one line.
        OSError: the file cannot be read.
    """
    blobs: dict[str, npt.NDArray[Any]] = {}
    written: set[str] = set()
    for number, value in fields(memoryview(path.read_bytes()), _NET):
        if number == 3:
            written.add(text(value))
        if number in _VERSIONS:
            layer = _layer(value, _VERSIONS[number], written)
            if repeated := blobs.keys() & layer.keys():
                raise ValueError(f"{min(repeated)} occurs twice")
            blobs |= layer
    return blobs


def _layer(message: memoryview, version: _Version, written: set[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the blobs of a layer; add the names of its outputs to `written`."""
    name, blobs, inputs, outputs = "", list[npt.NDArray[Any]](), set[str](), set[str]()
    for number, value in fields(message, version.known, others=(BYTES,)):
        if number == version.blobs:
            blobs.append(_blob(value, f"{name or 'a layer'}/{len(blobs)}"))
        elif number in version.texts:
            word = text(value)
            name = word if number == version.name else name
            inputs |= {word} if number == version.inputs else set()
            outputs |= {word} if number == version.outputs else set()
        elif number not in version.known:
            require_message(value)
    if unknown := inputs - written:
        raise ValueError(f"layer {name} reads {min(unknown)}, which no earlier layer writes")
    written |= outputs
    return {f"{name}/{number}": blob for number, blob in enumerate(blobs)}


def _blob(message: memoryview, name: str) -> npt.NDArray[Any]:
    found = dict(fields(message, _BLOB))
    kinds = [number for number in _DATA if number in found]
    if len(kinds) != 1:
        raise ValueError(f"{name} has no values")
    data, dtype = found[kinds[0]], np.dtype(_DATA[kinds[0]])
    if _SHAPE in found:
        shape = [number for _, dims in fields(found[_SHAPE], {1: BYTES}) for number in varints(dims)]
    else:
        shape = [found.get(number, 1) for number in (1, 2, 3, 4)]
    if count_of(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{name} has shape {tuple(shape)}, but {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape)
