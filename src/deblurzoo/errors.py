"""Errors that a user can fix, Ctrl-C and SIGTERM, and printing of names that are not UTF-8."""

import codecs
import errno
import io
import os
import select
import signal
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ESCAPES = "deblurzoo.escapes"
"""Codec error handler for all output, which escapes bytes that are not UTF-8: the byte 0xE9 becomes `\\xe9`."""


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
"""Escapes of the control characters that act on a terminal, except tab and newline."""


class DeblurzooError(Exception):
    """An error that a user can fix. The message states the problem, its place (file, key, value) and the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(escaped(text))


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; the message states the completed work and the command or option that resumes it."""


@contextmanager
def on_interrupt(state: Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C, raise an Interrupted with the message that `state` returns, unless an inner call has raised one."""
    try:
        yield
    except Interrupted:
        raise
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt):  # Lightning exits
            raise Interrupted(state()) from None
        raise


_REMEDIES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions, or choose another"),
    errno.EROFS: "choose another folder",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ELOOP: "remove the link",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free disk space or choose another folder"),
}
"""Remedies for errors of the file system, by number."""


_NO_MEMORY = ("MemoryError", "out of memory", "can't allocate memory", "Cannot allocate memory", "Insufficient memory")
"""Parts of the messages of Python's workers, PyTorch on a GPU and on a CPU, Linux and OpenCV."""


@contextmanager
def system_errors() -> Iterator[None]:
    """Convert errors of the file system, and a lack of memory, to a DeblurzooError with the reason and a remedy.

    Paths are seldom checked before they are used: permissions change, and a name may be too long for a system.
    """
    try:
        yield
    except Exception as error:
        if expected := _of_system(error):
            raise expected from error
        raise


def _of_system(error: Exception) -> DeblurzooError | None:
    """Return an error of the file system or a lack of memory as a DeblurzooError; None for any other error."""
    if isinstance(error, DeblurzooError):
        return None
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _REMEDIES):
        return unusable(error)
    if str(error).startswith("Symlink loop"):  # of Path.resolve, before Python 3.13
        return DeblurzooError(f"{error}: remove the link")
    if lacks_memory(error):
        remedy = "use smaller batches, crops or images, or a smaller network"
        return DeblurzooError(f"there is too little memory ({first_line(error)}): {remedy}")
    return None


def lacks_memory(error: Exception) -> bool:
    """Whether an error states that memory could not be allocated, in this process or in a worker."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def unwritable(path: Path, error: OSError) -> DeblurzooError:
    """Return an error of writing a file or folder as a DeblurzooError with the system's reason and a remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "free disk space or choose another folder")
    return DeblurzooError(f"{path} cannot be written ({error.strerror or error}): {remedy}")


def unusable(error: OSError) -> DeblurzooError:
    """Return an error of the file system as a DeblurzooError with the path, the system's reason and a remedy."""
    place = "a file" if error.filename is None else os.fsdecode(error.filename)
    if isinstance(error, FileNotFoundError):
        return DeblurzooError(f"{place} does not exist: check the path")
    remedy = _REMEDIES.get(error.errno or 0, "check the path")
    return DeblurzooError(f"{place} cannot be used ({error.strerror or error}): {remedy}")


def as_program(main: Callable[[], object], is_terminable: bool = True) -> None:
    """Call the main function of a program. Errors that a user can fix, and Ctrl-C, print one message and exit.

    Args:
        main: the function.
        is_terminable: see `interruptible`.
    """
    try:
        with system_errors():
            interruptible(main, is_terminable)
    except DeblurzooError as error:
        sys.exit(f"error: {error}")


def interruptible(run: Callable[[], object], is_terminable: bool = True) -> None:
    """Call a function; on Ctrl-C, print one line and exit with code 130.

    If `is_terminable` is set, SIGTERM and the end of the terminal act as Ctrl-C, with the exit codes 143 and 129.
    Otherwise the function handles SIGTERM.
    """
    with _as_ctrl_c(is_terminable) as arrived:
        try:
            run()
            return
        except KeyboardInterrupt as stop:
            message = str(stop) or "no file is incomplete; run the same command again"
        # The traceback is freed, which has closed progress bars. A second Ctrl-C must not interrupt the exit.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(f"interrupted: {escaped(message)}", file=sys.stderr)
        sys.exit(128 + arrived[-1])


@contextmanager
def _as_ctrl_c(is_terminable: bool) -> Iterator[list[int]]:
    """Raise a KeyboardInterrupt also for SIGTERM and SIGHUP, unless the process ignores them; yield received signals.

    After the first signal, SIGTERM and SIGHUP are ignored, so that they do not interrupt the removal of partial files.
    """
    arrived = [int(signal.SIGINT)]
    names = ("SIGTERM", "SIGHUP") if is_terminable else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has no SIGHUP
    replaced = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in replaced:
            signal.signal(other, signal.SIG_IGN)
        arrived.append(number)
        raise KeyboardInterrupt

    for number in replaced:
        signal.signal(number, interrupt)
    try:
        yield arrived
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


_READER_ENDED = 141


@contextmanager
def readable_output() -> Iterator[None]:
    """Exit with code 141, as after the signal SIGPIPE, if the process that reads the output has ended."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if _has_reader(sys.stdout.fileno()):  # another pipe is broken, such as a worker's
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(_READER_ENDED)


def _has_reader(pipe: int) -> bool:
    """Whether the end of a pipe from which its data are read is open."""
    if not hasattr(select, "poll"):  # Windows, where a missing reader is a different error
        return True
    poll = select.poll()
    poll.register(pipe, 0)  # for errors only
    return not poll.poll(0)


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    byte = f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(chr(code))[1:-1]
    return byte, error.start + 1


codecs.register_error(ESCAPES, _escape)


def escaped(text: str | Path) -> str:
    """Return text that can be printed and written to any file.

    Bytes that are not UTF-8, as in some file names, and control characters are escaped.
    """
    return str(text).encode("utf-8", ESCAPES).decode().translate(_CONTROLS)


def print_escaped() -> None:
    """Configure stdout and stderr to escape characters that their encoding lacks, such as bytes that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPES)


def is_utf8(name: str | Path) -> bool:
    """Whether a name is UTF-8, which configs, results and loggers require; file names on Linux may be any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in str(name))


def is_one_line(text: str) -> bool:
    """Whether text has no line breaks and no other control characters, which would break tables and terminals."""
    return not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text)


def require_utf8(name: str | Path) -> None:
    """Raise a DeblurzooError unless a name is UTF-8."""
    if not is_utf8(name):
        raise DeblurzooError(f"the name {name} is not UTF-8, which configs, results and loggers require: rename it")


def first_line(error: BaseException | None) -> str:
    """Return the first non-empty line of the message, or the exception's class name."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("backend=")]  # inductor
    return lines[0].strip() if lines else type(error).__name__


def let_go(error: BaseException | None) -> None:
    """Free the local variables of an error's traceback, such as batches on a GPU, for the next job of a sweep."""
    chain: list[BaseException] = []
    while error and error not in chain:
        traceback.clear_frames(error.__traceback__)
        chain.append(error)
        error = error.__cause__ or error.__context__


def few_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first `most` names in one line, followed by the number of omitted names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
