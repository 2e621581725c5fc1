"""Devices of a job: the GPUs that Lightning's `devices` selects, and claims of devices that are free.

GPUs, or slots of the CPU, are claimed by locks of files that all processes and users of the machine share.
"""

import gc
import logging
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator

from deblurzoo.errors import DeblurzooError, escaped, few_of, first_line, let_go
from deblurzoo.files import lock
from deblurzoo.records import shown

log = logging.getLogger(__name__)

SLOTS = "DEBLURZOO_SLOTS"
"""Environment variable with the number of jobs that may run on the CPU at once."""
_TRIES = 3
"""Number of waits for devices after which a denied permission is an error."""
_KINDS = {"link": Path.is_symlink, "folder": Path.is_dir, "FIFO": Path.is_fifo, "socket": Path.is_socket}


def is_cuda(accelerator: str) -> bool:
    """Whether Lightning uses NVIDIA's or AMD's GPUs for this accelerator."""
    return accelerator not in ("cpu", "mps") and torch.cuda.is_available()


def is_free(devices: Any) -> bool:
    """Whether `devices` is `free` or `free:N`, which `claimed` replaces."""
    return isinstance(devices, str) and devices.partition(":")[0] == "free"


def selected(devices: Any, accelerator: str) -> list[int]:
    """Return the indices of the GPUs, or numbers of the CPU processes, that Lightning's `devices` selects.

    Raises:
        DeblurzooError: Lightning does not support the value.
    """
    cls: Any = CUDAAccelerator if is_cuda(accelerator) else CPUAccelerator
    if cls is CPUAccelerator and accelerator != "cpu" and torch.backends.mps.is_available():
        cls = MPSAccelerator
    try:
        chosen = cls.auto_device_count() if devices == "auto" else cls.parse_devices(devices)
        if not chosen:
            raise ValueError("this selects no device")
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise DeblurzooError(
            f"trainer.devices={shown(devices)}: {first_line(error).rstrip('.')}: set a number of devices, auto, free "
            "or free:N"
        ) from error
    return list(range(chosen)) if isinstance(chosen, int) else list(chosen)


def first_of(devices: Any, accelerator: str) -> Any:
    """Return Lightning's `devices` for the first selected device."""
    return selected(devices, accelerator)[:1] if is_cuda(accelerator) else 1


@contextmanager
def claimed(devices: Any, accelerator: str, holder: str) -> Iterator[Any]:
    """Yield Lightning's `devices` with `free` or `free:N` replaced by the first devices that no process has claimed.

    Wait while too few devices are free. They are released at the end; the system releases those of a killed process.

    Args:
        devices, accelerator: keys of Lightning's trainer.
        holder: the run, for messages of processes that wait for the devices.

    Raises:
        DeblurzooError: the machine has fewer devices, or a lock file cannot be used.
    """
    if not is_free(devices):
        yield devices
        return
    on_gpus = is_cuda(accelerator)
    names = _gpus() if on_gpus else _slots()
    number = _number(devices, names)
    with ExitStack() as held:
        indices = _claim(names, number, f"process {os.getpid()}, {holder}", held)
        log.info("on %s", ", ".join(names[index] for index in indices))
        try:
            if on_gpus:
                torch.cuda.set_device(indices[0])  # not the first GPU, which may be another process's
            yield indices if on_gpus else number
        except BaseException as error:
            let_go(error)
            raise
        finally:
            if on_gpus:
                gc.collect()
                torch.cuda.empty_cache()


def _gpus() -> list[str]:
    """Return the UUIDs of the visible GPUs; this does not allocate memory on them."""
    return [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(torch.cuda.device_count())]


def _slots() -> list[str]:
    text = os.environ.get(SLOTS, "1")
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise DeblurzooError(f"{SLOTS}={text} is not a number of jobs: set 1 or more")
    return [f"CPU-{slot}" for slot in range(int(text))]


def _number(devices: str, names: list[str]) -> int:
    """Return the number of devices that `free` or `free:N` requests."""
    found = re.fullmatch(r"free(?::([1-9]\d{0,99}))?", devices)
    if not found:
        raise DeblurzooError(f"trainer.devices={devices} is not a number of devices: set free, free:2, …")
    number = int(found[1] or 1)
    if number > len(names):
        more = "" if names[0].startswith("GPU") else f", or set {SLOTS}={number}"
        raise DeblurzooError(
            f"trainer.devices={devices}: this machine has {len(names)} ({few_of(names)}): request fewer{more}"
        )
    return number


def _claim(names: list[str], number: int, holder: str, held: ExitStack) -> list[int]:
    """Lock the files of the first free devices, which `held` closes; return their indices."""
    tries = 0
    while True:
        with ExitStack() as attempt:
            indices, busy, denied = [], [], []
            for index, name in enumerate(names):
                path = _folder() / name
                try:
                    file, holding = _locked(path, holder)
                except PermissionError as error:  # also while another user creates the file
                    file, holding = None, f"{path}: {error.strerror}"
                    denied.append(path)
                if file:
                    attempt.callback(file.close)
                    indices.append(index)
                else:
                    busy.append(f"{name} ({holding})")
                if len(indices) == number:
                    held.push(attempt.pop_all())
                    return indices
        # All or none: two jobs that hold one device each, and wait for a second, would wait for ever.
        if tries >= _TRIES and len(names) - len(denied) < number:
            raise DeblurzooError(_denial(denied[0]))
        if tries == 0:
            log.info("waiting for %d free of %d devices; in use: %s", number, len(names), few_of(busy))
        tries += 1
        time.sleep(random.SystemRandom().uniform(0.5, 1.5))  # not all waiting processes at once; training is seeded


def _denial(path: Path) -> str:
    """Return the message for a lock file that this user may not open, or whose folder this user may not use."""
    path, mode = (path, "666") if os.access(path, os.F_OK) else (path.parent, "1777")
    owner = f"user {path.stat().st_uid}"
    with suppress(KeyError):  # a user without a name
        owner = path.owner()
    return (
        f"{path} of {owner} cannot be used (permission denied): {owner} can run `chmod {mode} {path}`; or choose "
        "another temporary folder (TMPDIR)"
    )


def _folder() -> Path:
    """Return the folder of the lock files, in which all users may write."""
    folder = Path(tempfile.gettempdir(), "deblurzoo-devices")
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    return folder


def _locked(path: Path, holder: str) -> tuple[BinaryIO | None, str]:
    """Lock the file of a device and write `holder` to it; return the open file, or None and the file's holder.

    The file stays: removing it would leave two processes with locks of different files, and other users may not.
    """
    if sys.platform == "win32":
        raise DeblurzooError("trainer.devices=free requires locks that Windows lacks: set trainer.devices=1")
    flags = os.O_RDWR | os.O_NOFOLLOW  # another user may have made a link
    try:
        try:
            descriptor = os.open(path, flags)  # Linux may forbid O_CREAT for another user's file
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            os.fchmod(descriptor, 0o666)
        file = os.fdopen(descriptor, "r+b")
        if not lock(file):
            with file:
                return None, " ".join(escaped(file.read(300).decode(errors="replace")).split())
        file.truncate()
        file.write(holder.encode(errors="replace"))
        file.flush()
    except PermissionError:
        raise
    except OSError as error:
        if kind := next((name for name, is_of in _KINDS.items() if is_of(path)), None):
            raise DeblurzooError(f"{path} is a {kind}, not a lock file: remove {path}") from error
        raise DeblurzooError(
            f"{path} cannot be locked ({error.strerror}): free disk space or choose another temporary folder (TMPDIR)"
        ) from error
    return file, holder
