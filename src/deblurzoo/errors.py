"""The one exception for everything a user can mend, and names that are not text."""

import codecs
import io
import sys
from collections.abc import Sequence
from pathlib import Path

ESCAPES = "deblurzoo.escapes"
"""The error handler of text that is written: of a name's bytes that are not UTF-8, 0xE9 becomes `\\xe9`."""


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
"""What acts upon a terminal, but the ends of lines of our own messages."""


class DeblurzooError(Exception):
    """A wrong input. The text says what is wrong, where (file, key, value) and what to do; it can be printed."""

    def __init__(self, text: str) -> None:
        super().__init__(escaped(text))


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    byte = f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(chr(code))[1:-1]
    return byte, error.start + 1


codecs.register_error(ESCAPES, _escape)


def escaped(text: str | Path) -> str:
    """Return text that can be printed, and written into any file.

    Bytes of names that are not UTF-8 are escaped, and so is what would act upon a terminal.
    """
    return str(text).encode("utf-8", ESCAPES).decode().translate(_CONTROLS)


def print_escaped() -> None:
    """Let this process print what its output's encoding lacks, names of files that are not UTF-8 above all."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPES)


def is_utf8(name: str | Path) -> bool:
    """Whether a name is text, as configs, results and loggers need it: Linux takes any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in str(name))


def require_utf8(name: str | Path) -> None:
    """Raise a DeblurzooError unless a name is UTF-8."""
    if not is_utf8(name):
        raise DeblurzooError(f"the name {name} is not UTF-8, as configs, results and loggers need it: rename it")


def first_line(error: BaseException | None) -> str:
    """Return the first line of an error that says something, or the error's type."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("backend=")]  # inductor's
    return lines[0].strip() if lines else type(error).__name__


def few_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first names in one line, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
