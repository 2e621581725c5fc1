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
from pytorch_lightning.accelerators import CPUAccelerator, CUDAAccelerator

from deblurzoo.errors import DeblurzooError, escaped, few_of, first_line, let_go
from deblurzoo.files import lock

log = logging.getLogger(__name__)

SLOTS = "DEBLURZOO_SLOTS"
"""Environment variable with the number of jobs that may run on the CPU at once."""


def is_cuda(accelerator: str) -> bool:
    """Whether Lightning uses NVIDIA's or AMD's GPUs for this accelerator."""
    return accelerator != "cpu" and torch.cuda.is_available()


def is_free(devices: Any) -> bool:
    """Whether `devices` is `free` or `free:N`, which `claimed` replaces."""
    return isinstance(devices, str) and devices.partition(":")[0] == "free"


def selected(devices: Any, accelerator: str) -> list[int]:
    """Return the indices of the GPUs, or numbers of the CPU processes, that Lightning's `devices` selects.

    Raises:
        DeblurzooError: Lightning does not support the value.
    """
    cls = CUDAAccelerator if is_cuda(accelerator) else CPUAccelerator
    try:
        chosen = cls.auto_device_count() if devices == "auto" else cls.parse_devices(devices)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise DeblurzooError(f"trainer.devices={devices}: {first_line(error)}") from error
    return list(range(chosen)) if isinstance(chosen, int) else list(chosen or [])


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
        DeblurzooError: the machine has fewer devices, or its temporary folder cannot be used.
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
    found = re.fullmatch(r"free(?::([1-9]\d{0,3}))?", devices)
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
    waits = False
    while True:
        with ExitStack() as attempt:
            indices, busy = [], []
            for index, name in enumerate(names):
                file, holding = _locked(_folder() / name, holder)
                if file:
                    attempt.callback(file.close)
                    indices.append(index)
                else:
                    busy.append(f"{name} ({holding})")
                if len(indices) == number:
                    held.push(attempt.pop_all())
                    return indices
        # All or none: two jobs that hold one device each, and wait for a second, would wait for ever.
        if not waits:
            log.info("waiting for %d free of %d devices; in use: %s", number, len(names), few_of(busy))
            waits = True
        time.sleep(random.SystemRandom().uniform(0.5, 1.5))  # not all waiting processes at once; training is seeded


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
    except PermissionError as error:  # also while another user creates it
        return None, f"{path}: {error.strerror}"
    except OSError as error:
        raise DeblurzooError(
            f"{path} cannot be locked ({error.strerror}): free disk space or choose another temporary folder (TMPDIR)"
        ) from error
    return file, holder
