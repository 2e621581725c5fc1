"""Paths from users, atomic writes, and locks of folders."""

import errno
import hashlib
import logging
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from deblurzoo.errors import DeblurzooError, unwritable

log = logging.getLogger(__name__)

LOCK = ".lock"
"""Name of the lock file in a folder."""
LONGEST = 255
"""Largest number of bytes of the name of a file or folder on Linux and macOS."""
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


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False, and no error, if the system cannot tell, as for a name that is too long."""
    return os.path.isdir(path)  # noqa: PTH112


def real_path(path: Path) -> Path:
    """Return an absolute path without links. Before Python 3.13, `Path.resolve` raises an error for a loop of links."""
    return Path(os.path.realpath(path))


def is_file(path: Path) -> bool:
    """Whether a path is a file; False, and no error, if the system cannot tell, as `is_folder`."""
    return os.path.isfile(path)  # noqa: PTH113


def is_there(path: Path) -> bool:
    """Whether a file or folder exists; False, and no error, if the system cannot tell, as `is_folder`."""
    return os.path.exists(path)  # noqa: PTH110


def require_readable(folder: Path) -> None:
    """Raise an OSError if a folder cannot be read, in which `Path.glob` would find nothing."""
    os.scandir(folder).close()


def files_below(
    folder: Path,
    on_error: Callable[[OSError], object],
    is_skipped: Callable[[str], bool] = lambda name: False,
    above: frozenset[tuple[int, int]] = frozenset(),
) -> Iterator[Path]:
    """Yield the files in a folder and its sub-folders, in any order, without pipes, sockets and devices.

    Links to folders are followed, except a link to a folder that contains the link.

    Args:
        folder: the folder.
        on_error: called with the error for each folder that cannot be read.
        is_skipped: whether files and folders of a name are left out.
        above: device and inode of the folders that contain `folder`.
    """
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            found = [
                (entry.name, is_folder_entry(entry))
                for entry in entries
                if not is_skipped(entry.name) and not is_special(entry)
            ]
    except OSError as error:
        on_error(error)
        return
    own = (status.st_dev, status.st_ino)
    if own in above:
        return
    for name, is_sub in found:
        if is_sub:
            yield from files_below(folder / name, on_error, is_skipped, above | {own})
        else:
            yield folder / name


def is_folder_entry(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; False, and no error, if the system cannot tell, as `is_folder`."""
    with suppress(OSError):  # a link whose target cannot be reached
        return entry.is_dir()
    return False


def is_special(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a pipe, a socket or a device, or a link to one. Reading it could wait for ever."""
    with suppress(OSError):  # a broken link, which is reported as an unreadable file
        mode = entry.stat().st_mode
        return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
    return False


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(page: Path) -> Path:
    """Return the folder next to an HTML page for the page's images, such as `comparison_files`."""
    return page.with_name(f"{page.stem}_files")


def require_output(path: Path, given: str, is_folder: bool = True, is_new: bool = False) -> None:
    """Raise a DeblurzooError if a result cannot be written to a path. Nothing is written.

    Call this function before the work, so that a wrong path is reported in seconds and not after hours.

    Args:
        path: a folder, or a file that will be replaced; it need not exist, nor its folder.
        given: the option or key with its value, for the message.
        is_folder: whether the result is a folder.
        is_new: whether the folder must not exist.
    """

    def refuse(problem: str) -> DeblurzooError:
        return DeblurzooError(f"{given} {problem}: choose another {'folder' if is_folder else 'file'}")

    try:
        if any(len(os.fsencode(part)) > LONGEST for part in path.parts):  # systems notice it only if the folder exists
            raise refuse(f"cannot be written ({os.strerror(errno.ENAMETOOLONG)})")
        if is_new and (path.exists() or path.is_symlink()):
            raise DeblurzooError(f"{given} exists already: remove it or choose another folder")
        if not is_folder and path.exists() and not (path.is_file() or path.is_dir()):
            raise refuse("is a pipe or device, which cannot be replaced")
        if path.exists() and path.is_dir() != is_folder:
            raise refuse("is not a folder" if is_folder else "is a folder")
        absolute = path.absolute() if is_folder else path.absolute().parent
        folder = next(parent for parent in (absolute, *absolute.parents) if parent.exists() or parent.is_symlink())
    except OSError as error:
        raise refuse(f"cannot be written ({error.strerror})") from error
    if not folder.is_dir():
        raise refuse(f"cannot be written ({folder} is not a folder)")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise refuse(f"cannot be written (no permission to write in {folder})")


def replace_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` with a new temporary file next to `path`, flush the file to disk, and rename it to `path`.

    Raises:
        DeblurzooError: the disk is full or the folder cannot be written; `path` is then unchanged.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # renamed, never created, or its folder has lost its permission
            temporary.unlink()


def _temporary(path: Path) -> Path:
    """Return a new hidden path next to a path. Its name is short, as `path` may have the longest possible name."""
    return path.absolute().with_name(f".{secrets.token_hex(8)}.tmp")


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write bytes to `path`, see `replace_atomically`."""
    replace_atomically(path, lambda file: file.write(data))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `path`; rename it to `path` on success, or remove it after an error.

    Raises:
        DeblurzooError: `path` exists, or cannot be written.
    """
    require_output(path, str(path), is_new=True)
    temporary = _temporary(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # another process has written it meanwhile
            require_output(path, str(path), is_new=True)
        raise unwritable(path, error) from error
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
        raise unwritable(folder, error) from error
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
    name = folder.resolve().name
    if len(os.fsencode(name)) > LONGEST - len("..unfinished"):
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return folder.parent / f".{name}.unfinished"
