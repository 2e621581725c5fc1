"""EXIF as bytes: entries are copied without being decoded, so that odd values and texts in any encoding are kept.

The layout is described in TIFF 6.0, section 2, and of Exif 2.32, section 4.6.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Union

from PIL.ExifTags import GPSTAGS, TAGS

EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 34665, 34853, 40965
_CARRIED = frozenset(
    (*(269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 18246, 18249), *range(40091, 40096), EXIF_IFD, GPS_IFD)
)
"""Tags of the first directory that describe the photo: texts, date, rating, Windows' texts. All others describe its
encoding, the thumbnail, or the orientation, which is applied to the pixels."""
_CHILDREN = {EXIF_IFD: {INTEROPERABILITY_IFD}, GPS_IFD: set[int](), INTEROPERABILITY_IFD: set[int]()}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
"""Bytes per value of each field type."""
_LONG = 4
_MAKER_NOTE, _WIDTH, _HEIGHT = 37500, 40962, 40963


class Entry(NamedTuple):
    """A value as stored: the number of its TIFF field type, and its bytes in the byte order of the block."""

    kind: int
    data: bytes


Directory = Mapping[int, Union[Entry, "Directory"]]
"""Entries by tag. The EXIF, GPS and interoperability directories are values."""


@dataclass(frozen=True)
class Exif:
    """The descriptive part of EXIF, without orientation and thumbnail."""

    order: Literal["<", ">"] = "<"
    """Byte order, as in `struct`."""
    tags: Directory = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    """Names of corrupt entries, which are not in `tags`."""

    def block(self) -> bytes:
        """Return the EXIF block, which starts with its byte order; empty if there are no tags."""
        if not self.tags:
            return b""
        mark = b"II" if self.order == "<" else b"MM"
        return mark + struct.pack(f"{self.order}HI", 42, 8) + _directory_at(8, self.tags, self.order)


def read_exif(block: bytes, width: int, height: int, most: int | None = None) -> Exif:
    """Return the descriptive part of an EXIF block or a TIFF file, with the size of the upright photo.

    Entries that are corrupt, and directories that cannot be found, are dropped.

    Args:
        block: the block, with or without its prefix `Exif`; a BigTIFF file is also accepted.
        width, height: size in pixels, written to the entries that have a size.
        most: largest number of bytes of a written block; maker notes and then everything is dropped.
    """
    block = block.removeprefix(b"Exif\0\0")
    order: Literal["<", ">"] = ">" if block[:2] == b"MM" else "<"
    if not block:
        return Exif(order)
    reader = _Reader(block, order)
    tags = reader.first()
    own = tags.get(EXIF_IFD)
    if isinstance(own, dict):
        sizes = {_WIDTH: width, _HEIGHT: height}
        own |= {tag: Entry(_LONG, struct.pack(f"{order}I", size)) for tag, size in sizes.items() if tag in own}
    found = Exif(order, tags, tuple(reader.dropped))
    if most is not None and len(found.block()) > most and isinstance(own, dict) and own.pop(_MAKER_NOTE, None):
        found = Exif(order, tags, (*found.dropped, "MakerNote"))
    if most is not None and len(found.block()) > most:
        found = Exif(order, dropped=(*found.dropped, "all other EXIF"))
    return found


def with_tags(tiff: bytes, exif: Exif) -> bytes:
    """Return a TIFF file of the same byte order with the tags of `exif` added to its first directory.

    A new first directory is appended. BigTIFF files, which are larger than 4 GB, are returned unchanged.
    """
    reader = _Reader(tiff, exif.order)
    if reader.wide or not exif.tags:
        return tiff
    own = reader.first(carried=None)
    tiff += b"\0" * (len(tiff) % 2)
    start = struct.pack(f"{exif.order}I", len(tiff))
    return tiff[:4] + start + tiff[8:] + _directory_at(len(tiff), {**exif.tags, **own}, exif.order)


class _Reader:
    """Reader of the directories of a block."""

    def __init__(self, block: bytes, order: Literal["<", ">"]) -> None:
        self.block, self.order = block, order
        self.dropped: list[str] = []
        self.left = len(block)
        """Bytes that may still be copied: values that overlap must not multiply the size of the block."""
        self.wide = block[2:4] == struct.pack(f"{order}H", 43)  # BigTIFF

    def first(self, carried: frozenset[int] | None = _CARRIED) -> dict[int, Entry | Directory]:
        """Return the entries of the first directory, of all tags or only of `carried`."""
        try:
            (start,) = self._unpack("Q", 8) if self.wide else self._unpack("I", 4)
        except struct.error:
            start = 0
        if self.block[:2] not in (b"II", b"MM") or not start:
            self.dropped.append("all EXIF")
            return {}
        return self._directory(start, carried, {EXIF_IFD, GPS_IFD}, TAGS, "EXIF")

    def _directory(
        self, start: int, carried: frozenset[int] | None, children: set[int], names: Mapping[int, str], name: str
    ) -> dict[int, Entry | Directory]:
        """Return the entries at an offset, of all tags or only of `carried`."""
        found: dict[int, Entry | Directory] = {}
        try:
            (count,) = self._unpack("Q" if self.wide else "H", start)
            for number in range(count):
                at = start + 8 + 20 * number if self.wide else start + 2 + 12 * number
                tag, kind, values = self._unpack("HHQ" if self.wide else "HHI", at)
                stray = tag in _CHILDREN and tag not in children
                if tag in found or stray or (carried is not None and tag not in carried):
                    continue
                entry = self._entry(kind, values, at + (12 if self.wide else 8))
                if entry and tag in children:
                    found |= self._child(tag, entry)
                elif entry:
                    found[tag] = entry
                else:
                    self.dropped.append(names.get(tag, f"{name} tag {tag}"))
        except struct.error:  # the block ends within the directory
            self.dropped.append(f"the end of {name}")
        return found

    def _child(self, tag: int, entry: Entry) -> dict[int, Entry | Directory]:
        name = {EXIF_IFD: "EXIF", GPS_IFD: "GPS", INTEROPERABILITY_IFD: "interoperability"}[tag]
        if len(entry.data) != 4:  # sub-directories of BigTIFF have a type that no other format has
            self.dropped.append(name)
            return {}
        start = int.from_bytes(entry.data, "little" if self.order == "<" else "big")
        names = GPSTAGS if tag == GPS_IFD else TAGS
        inside = self._directory(start, None, _CHILDREN[tag], names, name)
        return {tag: inside} if inside else {}

    def _entry(self, kind: int, values: int, at: int) -> Entry | None:
        """Return the entry whose value, or its offset, is at `at`; None if it is corrupt."""
        if kind not in _SIZES:
            return None
        size = _SIZES[kind] * values
        if size > (8 if self.wide else 4):
            (at,) = self._unpack("Q" if self.wide else "I", at)
        data = self.block[at : at + size]
        if len(data) < size or size > self.left:
            return None
        self.left -= size
        return Entry(kind, data)

    def _unpack(self, layout: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + layout, self.block, at)


def _directory_at(start: int, tags: Directory, order: Literal["<", ">"]) -> bytes:
    """Return a directory and its values, to be placed at an even offset `start` of a block or TIFF file."""
    table, values = [], b""
    behind = start + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        place = behind + len(values)
        if isinstance(value, Entry):
            kind, count, data = value.kind, len(value.data) // _SIZES[value.kind], value.data
            shown = data if len(data) <= 4 else struct.pack(f"{order}I", place)
        else:
            kind, count, data = _LONG, 1, _directory_at(place, value, order)
            shown = struct.pack(f"{order}I", place)
        table.append(struct.pack(f"{order}HHI", tag, kind, count) + shown.ljust(4, b"\0"))
        if not isinstance(value, Entry) or len(data) > 4:
            values += data + b"\0" * (len(data) % 2)
    return struct.pack(f"{order}H", len(tags)) + b"".join(table) + bytes(4) + values
