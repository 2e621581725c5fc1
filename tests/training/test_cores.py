"""Threads of a process, beside other processes that use the cores."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from deblurzoo.media.images import write_png
from deblurzoo.training import cores
from deblurzoo.training.cores import free_cores


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Other processes use all cores; the number of threads is restored."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    command = f"{sys.executable} -c 'while True: pass' > /dev/null & echo $!"  # the shell ends: the loops are not ours
    loops = [
        int(subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=True).stdout)
        for _ in range(psutil.cpu_count() or 1)
    ]
    time.sleep(0.5)
    monkeypatch.setattr(cores, "_IMPORTED", cores._usage())
    time.sleep(0.5)
    yield
    torch.set_num_threads(before)
    for loop in loops:
        os.kill(loop, signal.SIGKILL)


@pytest.mark.parametrize(
    ("begun", "threads", "reason"),
    [
        (None, 1, "threads: 1, as other processes use the other cores"),
        (2, 2, None),
        (1, 1, "threads: 1, as recorded; OMP_NUM_THREADS=2 uses all cores"),
        (64, 2, "threads: 2 instead of the recorded 64: the last digits of results can differ"),
    ],
)
def test_training_uses_the_free_cores_and_a_resumed_run_its_number(
    begun: int | None, threads: int, reason: str | None, busy: None, caplog: pytest.LogCaptureFixture
) -> None:
    torch.set_num_threads(2)
    with free_cores("cpu", begun) as chosen:
        assert torch.get_num_threads() == chosen == threads
    assert torch.get_num_threads() == 2
    assert reason in caplog.text if reason else not caplog.messages


def test_deblur_uses_the_free_cores(busy: None, tmp_path: Path) -> None:
    write_png(tmp_path / "photo.png", np.zeros((32, 32, 3), np.uint8))
    command = [sys.executable, "-m", "deblurzoo", "deblur", "photo.png", "--out", "restored", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (tmp_path / "restored" / "photo.png").is_file(), done.stderr
    assert "threads: 1, as other processes use the other cores" in done.stderr


@pytest.mark.parametrize(("given", "threads"), [("2", 2), ("2,4", 2), ("", 1), ("0", 1), ("x", 1), ("-1", 1)])
def test_a_valid_number_in_the_environment_overrides_the_free_cores(
    given: str, threads: int, busy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    torch.set_num_threads(2)
    for begun in (None, 1):
        with free_cores("cpu", begun):
            assert torch.get_num_threads() == threads


def test_without_proc_all_cores_count_as_free(tmp_path: Path) -> None:
    """Some containers and sandboxes hide /proc or parts of it."""
    code = f"""
import psutil, torch
psutil.PROCFS_PATH = {str(tmp_path)!r}
from deblurzoo.training.cores import free_cores
torch.set_num_threads(2)
with free_cores("cpu", None) as threads:
    print(threads)
"""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
