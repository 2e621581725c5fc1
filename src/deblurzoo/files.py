"""Writing files so that a reader never sees half of one, and folders that one process alone works in."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from deblurzoo.errors import DeblurzooError

log = logging.getLogger(__name__)

_claimed: dict[Path, BinaryIO] = {}


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


def claim(folder: Path) -> None:
    """Take a folder for this process until it ends, however it ends; taking it again does nothing.

    Raises:
        DeblurzooError: another process has it.
    """
    if folder.resolve() in _claimed or sys.platform == "win32":  # which has no such locks
        return
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".lock").open("wb")
    try:
        # Not flock: reading processes would inherit that, and outlive a killed run by seconds.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise DeblurzooError(
            f"another process is working in {folder}: wait for it or stop it, or give name=OTHER"
        ) from error
    except OSError as error:
        log.warning("%s cannot be locked (%s): never start two runs in it", folder, error.strerror)
    _claimed[folder.resolve()] = file
