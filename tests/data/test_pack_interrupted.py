"""Packing that is killed, or for which the disk has no space."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Run, Start, wait_for
from data.packs import CLIP, content
from deblurzoo.data import Toy
from deblurzoo.data.packing import pack
from deblurzoo.errors import DeblurzooError


@pytest.fixture
def many_clips(toy: Path, tmp_path: Path) -> Path:
    """60 clips with the same three frames."""
    for number in range(60):
        for kind in ("blur", "sharp"):
            shutil.copytree(toy / CLIP / kind, tmp_path / f"many/train/A{number:03d}" / kind, copy_function=os.link)
    shutil.copytree(toy / "test", tmp_path / "many" / "test")
    return tmp_path / "many"


@pytest.mark.processes
def test_a_killed_pack_is_taken_up_and_ends_with_the_same_bytes(
    start: Start, process: Run, many_clips: Path, tmp_path: Path
) -> None:
    command = ("data", "pack", "data=toy", f"data.root={many_clips}", "out=killed")
    killed = start(*command)
    unfinished, third = tmp_path / "killed" / "unfinished.json", tmp_path / "killed" / "train" / "A003.blur.npy"
    wait_for(third.exists, killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=60)
    finished = [clip["name"] for clip in json.loads(unfinished.read_text())["clips"]]
    assert 1 <= len(finished) < 61 and not (tmp_path / "killed" / "index.json").exists()
    (tmp_path / "killed" / "train" / ".A050.blur.npy.1.tmp").write_bytes(b"half-written")
    inodes = [(tmp_path / "killed" / "train" / f"{name}.sharp.npy").stat().st_ino for name in finished]
    with pytest.raises(DeblurzooError, match="is unfinished: run the same"):
        Toy(None, "blur", packed=str(tmp_path / "killed")).samples("train", 1)

    assert process(*command).returncode == 0
    pack(Toy(str(many_clips), "blur"), tmp_path / "whole")
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert [(tmp_path / "killed" / "train" / f"{name}.sharp.npy").stat().st_ino for name in finished] == inodes


@pytest.mark.processes
def test_a_write_that_fails_leaves_nothing_half_written(environment: dict[str, str], toy: Path, tmp_path: Path) -> None:
    """A file size limit interrupts writing the first array, like a disk that fills up during packing."""
    pack_it = f"{sys.executable} -m deblurzoo data pack data=toy data.root={toy} out=packed"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 20; exec {pack_it}"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "TOY_train_000.blur.npy cannot be written" in done.stderr and "free disk space" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(content(tmp_path / "packed")) == [".lock", "unfinished.json"]


def test_a_full_disk_is_told_before_anything_is_written(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.decode().strip()}")
    try:
        done = deblurzoo("data", "pack", "data=toy", f"data.root={toy}", f"out={disk}/packed")
        left = list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 1
    assert "needs 0.00 GB" in done.stderr and "free disk space or choose another folder" in done.stderr
    assert left == []
