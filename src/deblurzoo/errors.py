"""The exception for errors that a user can fix, and printing of names that are not UTF-8."""

import codecs
import io
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

ESCAPES = "deblurzoo.escapes"
"""Codec error handler for all written text: the byte 0xE9 of a name that is not UTF-8 becomes `\\xe9`."""


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
"""Escapes of the control characters that act on a terminal, except tab and newline."""


class DeblurzooError(Exception):
    """An error that a user can fix. The message states the problem, its place (file, key, value) and the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(escaped(text))


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    byte = f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(chr(code))[1:-1]
    return byte, error.start + 1


codecs.register_error(ESCAPES, _escape)


def escaped(text: str | Path) -> str:
    """Return text that can be printed and written to any file.

    Bytes of names that are not UTF-8, and control characters, are escaped.
    """
    return str(text).encode("utf-8", ESCAPES).decode().translate(_CONTROLS)


def print_escaped() -> None:
    """Escape printed characters that the output's encoding lacks, such as file names that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPES)


def is_utf8(name: str | Path) -> bool:
    """Whether a name is UTF-8, which configs, results and loggers require; Linux allows any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in str(name))


def require_utf8(name: str | Path) -> None:
    """Raise a DeblurzooError unless a name is UTF-8."""
    if not is_utf8(name):
        raise DeblurzooError(f"the name {name} is not UTF-8, which configs, results and loggers require: rename it")


def first_line(error: BaseException | None) -> str:
    """Return the first non-empty line of the message, or the exception's class name."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("backend=")]  # inductor's
    return lines[0].strip() if lines else type(error).__name__


def let_go(error: BaseException | None) -> None:
    """Free the local variables of an error's traceback, such as batches on a GPU, for the next job of a sweep."""
    chain: list[BaseException] = []
    while error and error not in chain:
        traceback.clear_frames(error.__traceback__)
        chain.append(error)
        error = error.__cause__ or error.__context__


def few_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first names in one line, and the number of omitted names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
