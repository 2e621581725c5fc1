"""TensorFlow's checkpoints of version 2 (`tf.train.Saver`), read without TensorFlow; all checksums are verified.

`NAME.index` is a table of LevelDB, which lists the tensors of `NAME.data-00000-of-00001`. The formats are described in
`tensor_bundle.proto` of TensorFlow and `doc/table_format.md` of LevelDB.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deblurzoo.weights.crc32c import crc32c, masked
from deblurzoo.weights.shapes import count_of
from deblurzoo.weights.wire import BYTES, FIXED32, VARINT, fields, text, varint

_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER, _TRAILER = 48, 5
_LONGEST_KEYS = 2**24
"""Largest sum of the lengths of a block's keys. Keys share bytes, so they can be much longer than their block."""
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
_HEADER = {1: VARINT, 2: VARINT, 3: BYTES}
_ENTRY = {1: VARINT, 2: BYTES, 3: VARINT, 4: VARINT, 5: VARINT, 6: FIXED32, 7: BYTES}


class _Entry(NamedTuple):
    """Place and type of a tensor."""

    file: int
    offset: int
    size: int
    crc: int
    dtype: str
    shape: tuple[int, ...]


def files(index: Path) -> list[Path]:
    """Return the files of the checkpoint with this `.index` file."""
    return [index, *sorted(index.parent.glob(f"{_escaped(index.stem)}.data-?????-of-?????"))]


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def read(index: Path) -> dict[str, npt.NDArray[Any]]:
    """Return all tensors of the checkpoint with this `.index` file, by name.

    Raises:
        ValueError: a file is damaged or not of this format; the message is one line.
        OSError: a file cannot be read.
    """
    table = dict(_table(memoryview(index.read_bytes())))
    header = dict(fields(table.pop("", memoryview(b"")), _HEADER))
    parts, entries = header.get(1, 0), {name: _entry(name, value) for name, value in table.items()}
    if header.get(2, 0) or not 0 < parts <= 1000:
        raise ValueError(f"the index names {parts} data files, or big-endian ones")
    tensors = {}
    for part in range(parts):
        data = np.fromfile(index.with_suffix(f".data-{part:05d}-of-{parts:05d}"), np.uint8)
        place = 0
        for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
            if entry.file == part:
                tensors[name] = _tensor(name, entry, data, place)
                place += entry.size
        if place != len(data):
            raise ValueError(f"the data file has {len(data)} bytes, and the index lists {place}")
    if len(tensors) < len(entries):
        raise ValueError(f"the index lists tensors in more than {parts} data files")
    return tensors


def _tensor(name: str, entry: _Entry, data: npt.NDArray[np.uint8], place: int) -> npt.NDArray[Any]:
    content = data[place : place + entry.size]
    if entry.offset != place or len(content) < max(entry.size, 4):
        raise ValueError(f"{name} is not where the index places it: a data file is truncated or of another checkpoint")
    if masked(crc32c(content)) != entry.crc:
        raise ValueError(f"the checksum of {name} is wrong: a file is damaged")
    return content.view(entry.dtype).reshape(entry.shape)


def _entry(name: str, value: memoryview) -> _Entry:
    found = dict(fields(value, _ENTRY))
    if (kind := found.get(1)) not in _TYPES or 7 in found:
        raise ValueError(f"{name} is of an unsupported type ({kind}), or saved in slices")
    dims = [dict(fields(dim, {1: VARINT, 2: BYTES})) for _, dim in fields(found.get(2, memoryview(b"")), {2: BYTES})]
    shape = tuple(dim.get(1, 0) for dim in dims)
    dtype, size = _TYPES[kind], found.get(5, 0)
    if count_of(shape) * np.dtype(dtype).itemsize != size:
        raise ValueError(f"{name} has shape {shape}, but {size} bytes")
    return _Entry(found.get(3, 0), found.get(4, 0), size, found.get(6, 0), dtype, shape)


def _table(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield keys and values of a LevelDB table.

    Raises:
        ValueError: the table is damaged. Each byte is covered by a checksum, or has only one valid value.
    """
    footer = data[-_FOOTER:]
    if len(footer) < _FOOTER or footer[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("it is no index of TensorFlow's checkpoints of version 2, or it is truncated")
    meta, place = _handle(footer, 0)
    index, place = _handle(footer, place)
    if any(footer[place : -len(_MAGIC)]):
        raise ValueError("its footer is damaged")
    blocks = [_handle(value, 0)[0] for _, value in _entries(_block(data, index))]
    used = sum(size + _TRAILER for _, size in (meta, index, *blocks))
    if used + _FOOTER != len(data) or list(_entries(_block(data, meta))):
        raise ValueError("its blocks do not fill the file")
    for handle in blocks:
        for key, value in _entries(_block(data, handle)):
            yield text(memoryview(key)), value


def _handle(data: memoryview, place: int) -> tuple[tuple[int, int], int]:
    """Return offset and size of a block, and the position after them."""
    offset, place = varint(data, place)
    size, place = varint(data, place)
    return (offset, size), place


def _block(data: memoryview, handle: tuple[int, int]) -> memoryview:
    offset, size = handle
    content, trailer = data[offset : offset + size + 1], data[offset + size + 1 : offset + size + _TRAILER]
    if size < 4 or len(trailer) < 4 or masked(crc32c(content)) != int.from_bytes(trailer, "little"):
        raise ValueError("the checksum of a block is wrong: the file is damaged")
    if content[-1]:
        raise ValueError("its blocks are compressed, which TensorFlow does not do")
    return content[:-1]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys and values of a block; a key shares its first bytes with the key before."""
    end = len(block) - 4 * (int.from_bytes(block[-4:], "little") + 1)  # of the entries; restart points follow
    key, place, total = b"", 0, 0
    while place < end:
        shared, place = varint(block, place)
        own, place = varint(block, place)
        size, place = varint(block, place)
        if shared > len(key) or own + size > end - place:
            raise ValueError("a block is damaged")
        key = key[:shared] + block[place : place + own]
        total += len(key)
        if total > _LONGEST_KEYS:
            raise ValueError(f"the names of a block have more than {_LONGEST_KEYS:,} bytes")
        yield key, block[place + own : place + own + size]
        place += own + size
