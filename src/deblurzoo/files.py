"""Writing files so that a reader never sees half of one."""

import os
from collections.abc import Callable
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
