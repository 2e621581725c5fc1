"""Writing files so that a reader never sees half of one."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from deblurzoo.errors import DeblurzooError


def replace_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk and rename it to `path`.

    Raises:
        DeblurzooError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DeblurzooError(
            f"{path} cannot be written ({error.strerror or error}): free space or choose another folder"
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Write bytes to `path` through `replace_atomically`."""
    replace_atomically(path, lambda file: file.write(data))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` to fill, which becomes `path` at the end, or vanishes after an error.

    Raises:
        DeblurzooError: `path` exists, or cannot be made.
    """
    if path.exists() or path.is_symlink():
        raise DeblurzooError(f"{path} exists already: remove it or choose another folder")
    temporary = path.absolute().with_name(f".{path.absolute().name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise DeblurzooError(
            f"{path} cannot be written ({error.strerror or error}): free space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
