"""The wire format of protocol buffers, which Caffe and TensorFlow use; see protobuf.dev/programming-guides/encoding.

Messages are read without their schema's framework. Files are untrusted: every field must have the declared wire type
and end within its message.
"""

from collections.abc import Iterator, Mapping
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types. The value of a field is a memoryview for BYTES, and otherwise a non-negative int."""
_KINDS = (VARINT, FIXED64, BYTES, FIXED32)
_SIZES = {FIXED64: 8, FIXED32: 4}


def varint(data: memoryview, start: int) -> tuple[int, int]:
    """Return the integer of variable length at `start`, and the position after it.

    Raises:
        ValueError: the integer does not end within `data` or 64 bits.
    """
    value = 0
    for place in range(10):
        if start + place >= len(data):
            break
        byte = data[start + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, start + place + 1
    raise ValueError("a number is cut off")


def varints(data: memoryview) -> list[int]:
    """Return all integers of a packed field."""
    values, place = [], 0
    while place < len(data):
        value, place = varint(data, place)
        values.append(value)
    return values


def fields(message: memoryview, known: Mapping[int, int], others: tuple[int, ...] = ()) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field.

    Args:
        message: the message's bytes.
        known: the wire type of each field, by number.
        others: the wire types that fields of other numbers may have.

    Raises:
        ValueError: a field is unknown, has a different wire type, or is cut off.
    """
    place = 0
    while place < len(message):
        key, place = varint(message, place)
        number, kind = key >> 3, key & 7
        if kind not in ((known[number],) if number in known else others) or not number:
            raise ValueError(f"field {number} of type {kind} is unknown")
        if kind == VARINT:
            value, place = varint(message, place)
            yield number, value
            continue
        size, place = varint(message, place) if kind == BYTES else (_SIZES[kind], place)
        if size > len(message) - place:
            raise ValueError(f"field {number} is cut off")
        part = message[place : place + size]
        yield number, part if kind == BYTES else int.from_bytes(part, "little")
        place += size


def require_message(value: memoryview) -> None:
    """Raise a ValueError unless a field's value has the structure of a message."""
    for _ in fields(value, {}, (VARINT, FIXED64, BYTES, FIXED32)):
        pass


def text(value: memoryview) -> str:
    """Return a string field; raise a ValueError if it is not UTF-8."""
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        raise ValueError("a name is not UTF-8") from error
