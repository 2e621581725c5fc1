"""Places that users name, files of which a reader never sees half, and folders that one process alone works in."""

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from deblurzoo.errors import DeblurzooError

log = logging.getLogger(__name__)

LOCK = ".lock"
"""Held in the folder that a process has claimed."""
_claimed: dict[Path, BinaryIO] = {}


def conf_dir() -> Path:
    """Return the folder of Hydra configs: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise DeblurzooError(f"no conf/ beside {package} or at the top of its checkout: reinstall deblurzoo")


def user_path(text: str | PathLike[str]) -> Path:
    """Return a path with the home folder for a leading `~` or `~USER`, which stays if there is no such user."""
    with suppress(RuntimeError):
        return Path(text).expanduser()
    return Path(text)


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


def write_atomically(path: Path, data: bytes | memoryview) -> None:
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


def claim(folder: Path) -> None:
    """Take a folder for this process until it ends, however it ends; taking it again does nothing.

    Raises:
        DeblurzooError: another process has it.
    """
    if folder.resolve() in _claimed or sys.platform == "win32":  # which has no such locks
        return
    import fcntl  # Windows has none

    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("wb")
    except OSError as error:
        raise DeblurzooError(
            f"{folder} cannot be written ({error.strerror or error}): free space or choose another folder"
        ) from error
    try:
        # Not flock: reading processes would inherit that, and outlive a killed run by seconds.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise DeblurzooError(
            f"another process is working in {folder}: wait for it or stop it, or choose another folder"
        ) from error
    except OSError as error:
        log.warning("%s cannot be locked (%s): never start two runs in it", folder, error.strerror)
    if not _is_at(file, folder / LOCK):  # released while we were at it
        file.close()
        claim(folder)
        return
    _claimed[folder.resolve()] = file


def release(folder: Path) -> None:
    """Let go of a folder before this process ends, and take away what marks it as claimed."""
    if file := _claimed.pop(folder.resolve(), None):
        if _is_at(file, folder / LOCK):  # before the lock goes, or it may be another process's already
            (folder / LOCK).unlink()
        file.close()


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file still is what `path` names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def take_over(folder: Path, half_written: str = "**/.*.tmp") -> None:
    """Claim a folder, and remove what a killed process has left half-written in it, by a pattern of paths."""
    claim(folder)
    for leftover in folder.glob(half_written):
        leftover.unlink()


def unfinished(folder: Path) -> Path:
    """Return where the content of a folder is collected, beside it, until it is complete; see `take_over`."""
    return folder.parent / f".{folder.resolve().name}.unfinished"
