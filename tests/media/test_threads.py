"""Cores available to a process in a container."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

import pytest

from deblurzoo.media import threads as module
from deblurzoo.media.threads import cores, in_threads, require_awaited

CPU = Path("/sys/fs/cgroup/cpu") if Path("/sys/fs/cgroup/cpu").is_dir() else Path("/sys/fs/cgroup")


@pytest.fixture
def group() -> Iterator[Path]:
    """Yield a real control group with a child; the group has a quota of one and a half cores."""
    parent = CPU / "deblurzoo_test"
    try:
        (parent / "child").mkdir(parents=True)
        if (parent / "cpu.max").exists():
            (parent / "cpu.max").write_text("150000 100000")
        else:
            (parent / "cpu.cfs_quota_us").write_text("150000")
        yield parent
    except OSError as error:
        pytest.skip(f"control groups cannot be changed here: {error}")
    finally:
        for folder in (parent / "child", parent):
            with suppress(OSError):
                folder.rmdir()


@pytest.mark.parametrize("name", [".", "child"])
def test_quota_of_a_container_limits_the_cores(group: Path, name: str) -> None:
    code = f"""
import os
from pathlib import Path
from deblurzoo.media.threads import _quotas, cores
Path({str(group / name / "cgroup.procs")!r}).write_text(str(os.getpid()))
print(min(_quotas()), cores() <= 2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1.5 True\n", done.stderr


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "250000 100000\n"}, 2.5),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({"cpu.max": ""}, float("inf")),
        ({}, float("inf")),
    ],
)
def test_quota_of_both_versions_of_control_groups(files: dict[str, str], quota: float, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert module._quota(tmp_path) == quota


def test_threads_end_soon_if_their_results_are_not_awaited() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(item: int) -> None:
        while item:
            begun.set()
            time.sleep(0.01)
            try:
                require_awaited()
            except CancelledError:
                ended.set()
                raise

    results = in_threads(work, range(2), workers=1)
    next(results)
    assert begun.wait(60) and not ended.is_set()
    results.close()
    assert ended.is_set()


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
