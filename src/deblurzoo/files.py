"""Paths from users, atomic writes, and locks of folders."""

import hashlib
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
"""Name of the lock file in a folder."""
_claimed: dict[Path, BinaryIO] = {}


def conf_dir() -> Path:
    """Return the folder of Hydra configs: inside an installed wheel, or at the root of a checkout."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise DeblurzooError(f"conf/ is missing in {package} and at the root of its checkout: reinstall deblurzoo")


def user_path(text: str | PathLike[str]) -> Path:
    """Return a path with a leading `~` or `~USER` expanded. If the user does not exist, the path is unchanged."""
    with suppress(RuntimeError):
        return Path(text).expanduser()
    return Path(text)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` with a new temporary file next to `path`, flush the file to disk, and rename it to `path`.

    Raises:
        DeblurzooError: the disk is full or the folder cannot be written; `path` is then unchanged.
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
            f"{path} cannot be written ({error.strerror or error}): free disk space or choose another folder"
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write bytes to `path`, see `replace_atomically`."""
    replace_atomically(path, lambda file: file.write(data))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `path`; rename it to `path` on success, or remove it after an error.

    Raises:
        DeblurzooError: `path` exists, or cannot be written.
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
            f"{path} cannot be written ({error.strerror or error}): free disk space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def claim(folder: Path, wait: bool = False) -> None:
    """Lock a folder until this process exits or crashes. Locking a folder again has no effect.

    Raises:
        DeblurzooError: another process has locked the folder, unless `wait` is set.
    """
    if folder.resolve() in _claimed or sys.platform == "win32":  # Windows has no fcntl
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("wb")
    except OSError as error:
        raise DeblurzooError(
            f"{folder} cannot be written ({error.strerror or error}): free disk space or choose another folder"
        ) from error
    try:
        if not lock(file, wait):
            file.close()
            raise DeblurzooError(
                f"another process is working in {folder}: wait for it or stop it, or choose another folder"
            )
    except OSError as error:
        log.warning("%s cannot be locked (%s): do not start two runs in it", folder, error.strerror)
    if not _is_at(file, folder / LOCK):  # another process has removed the lock file meanwhile
        file.close()
        claim(folder, wait)
        return
    _claimed[folder.resolve()] = file


def lock(file: BinaryIO, wait: bool = False) -> bool:
    """Lock an open file for this process, until it is closed.

    If another process has locked it, wait for that process, or return False if `wait` is not set.
    """
    import fcntl  # not on Windows

    try:
        # Not flock: workers would inherit its lock, and outlive a killed run by seconds.
        fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):
        return False
    return True


def release(folder: Path) -> None:
    """Unlock a folder before this process ends, and remove its lock file."""
    if file := _claimed.pop(folder.resolve(), None):
        if _is_at(file, folder / LOCK):  # before unlocking: afterwards, the file may be another process's
            (folder / LOCK).unlink()
        file.close()


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the file at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def take_over(folder: Path, half_written: str = "**/.*.tmp", wait: bool = False) -> None:
    """Lock a folder, and remove the partial files (pattern `half_written`) that a killed process left.

    For `wait`, see `claim`.
    """
    claim(folder, wait)
    for leftover in folder.glob(half_written):
        leftover.unlink()


def unfinished(folder: Path) -> Path:
    """Return the temporary folder next to `folder`, used until the content is complete; see `take_over`."""
    return folder.parent / f".{folder.resolve().name}.unfinished"
