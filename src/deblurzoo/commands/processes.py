"""Devices and processes of a run: free devices, and a process for each device."""

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.overrides import override
from deblurzoo.commands.user_configs import user_folders
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import claim, release
from deblurzoo.media.threads import cores
from deblurzoo.training.devices import claimed

log = logging.getLogger(__name__)

_PIPED = "DEBLURZOO_ENDS_WITH_STDIN"
"""Environment variable of the processes that `train_in_processes` starts: their standard input is a pipe."""
_REPORT = re.compile(r"[WE]\d{4} .*torch/distributed/elastic/multiprocessing/api\.py")
"""The first line of torchrun's report of a failed process."""


@contextmanager
def on_free_devices(cfg: DictConfig, holder: Path) -> Iterator[DictConfig]:
    """Yield the config with claimed devices in place of `trainer.devices=free`; they are released at the end."""
    with claimed(cfg.trainer.devices, cfg.trainer.accelerator, str(holder)) as devices:
        with_devices = OmegaConf.merge(cfg, {"trainer": {"devices": devices}})
        assert isinstance(with_devices, DictConfig)
        yield with_devices


def train_in_processes(run: Path, devices: list[int], on_gpus: bool, **decided: Any) -> None:
    """Train in a run folder by torchrun, with a process for each device. The processes end with this process.

    Args:
        run: the run folder; the processes lock it meanwhile.
        devices: indices of GPUs, or numbers of processes on the CPU.
        on_gpus: whether `devices` are GPUs.
        decided: keys and values that are merged into the config.

    Raises:
        DeblurzooError: training failed; the message is the first error of the processes.
    """
    number = len(devices)
    folders = [f"file://{folder.absolute()}" for folder in user_folders()]
    ours = {"hydra.searchpath": folders, "hydra.run.dir": str(run), "trainer.devices": number, **decided}
    overrides = [*HydraConfig.get().overrides.task, *(override(key, value) for key, value in ours.items())]
    threads = str(max(1, cores() // number))
    variables = {"OMP_NUM_THREADS": threads, **os.environ, _PIPED: "1"}
    if on_gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(max(devices) + 1)]
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(names[index] for index in devices)
    release(run)
    with tempfile.TemporaryDirectory() as logs:
        torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={number}", f"--log-dir={logs}"]
        code, errors = _run([sys.executable, "-m", *torchrun, "-m", "deblurzoo", "train", *overrides], variables)
    claim(run)
    if code:
        raise DeblurzooError(_reason(errors) or f"the training processes ended with exit code {code}: see their output")


def _run(command: list[str], variables: dict[str, str]) -> tuple[int, list[str]]:
    """Run torchrun until its end; return its exit code and the lines of its standard error.

    They are also printed, except torchrun's report of a failed process, which has already printed its error.
    """
    lines, is_report = [], False
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=variables, text=True, errors="replace", **pipes) as child:
        assert child.stderr is not None
        try:
            for line in child.stderr:
                lines.append(line)
                is_report |= bool(_REPORT.match(line))
                if not is_report:
                    sys.stderr.write(line)
        except BaseException:  # a signal
            child.terminate()  # torchrun ends the processes by SIGTERM, on which Lightning saves the step
            child.stderr.read()
            raise
        finally:
            child.communicate()
            signal.signal(signal.SIGTERM, before)
    return child.returncode, lines


def _reason(errors: list[str]) -> str | None:
    """Return the first error message of deblurzoo, else the last error of a traceback, else None."""
    ours = [line.removeprefix("error: ").strip() for line in errors if line.startswith("error: ")]
    others = [line.strip() for line in errors if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return next(iter(ours), None) or next((line for line in reversed(others) if "ChildFailedError" not in line), None)


def end_with_parent() -> None:
    """End this process as soon as its parent ends or is killed, if `train_in_processes` or joblib started it."""
    if _PIPED in os.environ:
        threading.Thread(target=_end_with_input, daemon=True).start()
    elif HydraConfig.get().runtime.choices.get("hydra/launcher") == "joblib":
        _end_with(os.getppid())


@cache  # one thread for all jobs of a process
def _end_with(parent: int) -> None:
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _end_with_input() -> None:
    os.read(0, 1)  # returns at the end of the pipe, since nothing is written
    os.kill(os.getpid(), signal.SIGKILL)
