"""Failures during training: corrupt checkpoints, a full disk, killed workers, a silent server, a second run."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import TINY, Run, Start, wait_for
from verbs import Process

ENDLESS = [*TINY, "name=run", "trainer.max_steps=100000", "callbacks.checkpoints.every=5"]


def ended(process: Process) -> tuple[int, str]:
    """Wait for a process; return its exit code and output."""
    done = process.result(timeout=60)
    return done.returncode, done.stdout + done.stderr


def children(process: Process) -> list[int]:
    return [*map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())]


def steps(tmp_path: Path) -> list[int]:
    return sorted(int(path.stem[5:]) for path in tmp_path.glob("runs/run/checkpoints/step_*.ckpt"))


@pytest.mark.parametrize("damage", [lambda content: content[:5000], lambda content: os.urandom(len(content))])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    damage: Callable[[bytes], bytes], deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "name=run", "callbacks.checkpoints.every=1"]
    assert deblurzoo(*arguments, "trainer.max_steps=3").returncode == 0
    newest = tmp_path / "runs/run/checkpoints/step_00000003.ckpt"
    undisturbed = torch.load(newest, weights_only=True)
    newest.write_bytes(damage(newest.read_bytes()))

    again = deblurzoo(*arguments, "trainer.max_steps=3", "resume=auto")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "step_00000003.ckpt cannot be read" in again.stdout and "Trying the previous checkpoint" in again.stdout
    restored = torch.load(newest, weights_only=True)
    assert all(torch.equal(undisturbed["state_dict"][key], value) for key, value in restored["state_dict"].items())


def test_a_second_run_in_a_folder_is_refused(start: Start, process: Run, toy: Path, tmp_path: Path) -> None:
    first = start("train", *ENDLESS, f"data.root={toy}")
    wait_for(lambda: steps(tmp_path), first)
    second = process("train", *ENDLESS, f"data.root={toy}", "resume=auto")
    assert second.returncode == 1
    assert "error: another process is working in runs/run: wait for it or stop it" in second.stderr
    assert first.poll() is None


def test_sigterm_saves_the_step_it_came_in(start: Start, toy: Path, tmp_path: Path) -> None:
    arguments = [*ENDLESS[:-1], "callbacks.checkpoints.every=100000", "trainer.log_every_n_steps=1"]
    process = start("train", *arguments, f"data.root={toy}")
    wait_for(lambda: list(tmp_path.glob("runs/run/csv/*/metrics.csv")), process)
    assert not steps(tmp_path)
    process.send_signal(signal.SIGTERM)
    code, output = ended(process)
    assert code == 1
    (step,) = steps(tmp_path)
    assert f"stopped by a signal at step {step}" in output


def test_a_killed_reader_ends_training_with_a_message(start: Start, toy: Path, tmp_path: Path) -> None:
    process = start("train", *ENDLESS, f"data.root={toy}")
    wait_for(lambda: steps(tmp_path), process)
    for child in children(process):
        os.kill(child, signal.SIGKILL)
    code, output = ended(process)
    assert code == 1
    assert "error: a data-loader worker was killed" in output and "training resumes" in output


def write_end(pipe: Path) -> int | None:
    """Return a descriptor of a named pipe that a process is waiting to read, or None if no process is."""
    with contextlib.suppress(OSError):
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    return None


def test_sigterm_ends_a_run_whose_readers_are_stuck(start: Start, toy: Path, tmp_path: Path) -> None:
    data = shutil.copytree(toy, tmp_path / "toy")
    process = start("train", *ENDLESS, "callbacks.checkpoints.every=1", f"data.root={data}")
    wait_for(lambda: steps(tmp_path), process)
    pictures = list(data.glob("train/*/sharp/*.png"))
    for picture in pictures:  # opening it blocks, as on a server that no longer answers
        os.mkfifo(picture.with_suffix(".pipe"))
        picture.with_suffix(".pipe").replace(picture)
    held: list[int | None] = []  # closed, it would be an empty image
    wait_for(lambda: held.extend(filter(None, map(write_end, pictures))) or held, process)
    process.send_signal(signal.SIGTERM)
    done = process.result(timeout=60)
    for descriptor in filter(None, held):
        os.close(descriptor)
    assert done.returncode == 1, done.stderr
    assert f"stopped by a signal at step {steps(tmp_path)[-1]}: resume=auto resumes" in done.stdout


SHORT_OF_SHARED_MEMORY = """
import json, os, pathlib, subprocess, sys
subprocess.run("mount -t tmpfs -o size=128k tmpfs /dev/shm", shell=True, check=True)
import verbs
done = [verbs.call(verb, pathlib.Path.cwd(), dict(os.environ)) for verb in json.loads(sys.argv[1])]
print(json.dumps([[each.returncode, each.stderr] for each in done]))
"""
"""Script that runs commands with only a few pages of shared memory, and prints their exit codes and errors."""


@pytest.mark.processes
def test_too_little_shared_memory_is_told(environment: dict[str, str], flow_toy: Path, identity: Path) -> None:
    own = ["unshare", "--mount"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], capture_output=True).returncode:
        pytest.skip("only root can mount a small /dev/shm")
    data = ["data=toy", f"data.root={flow_toy}"]
    verbs = [
        ["train", *TINY, *data, "name=crops", "datamodule.batch_size=40", "datamodule.augmentation.crop=64"],
        ["train", *TINY, *data, "name=frames", "datamodule.val_frames=5", "trainer.val_check_interval=1"],
        ["evaluate", f"checkpoint={identity}", *data, "trainer=cpu", "datamodule.workers=1"],
        ["data", "pack", *data, "out=pack"],
    ]
    found = {**environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*own, sys.executable, "-c", SHORT_OF_SHARED_MEMORY, json.dumps(verbs)]
    run = subprocess.run(command, cwd=identity.parents[1], env=found, capture_output=True, text=True, timeout=300)
    for code, errors in json.loads(run.stdout):
        assert code == 1
        assert "error: the data-loader workers ran out of shared memory (" in errors, errors
        assert "set a smaller datamodule.workers (0 needs no shared memory)" in errors and "Traceback" not in errors


@pytest.mark.processes
def test_the_death_of_one_of_two_training_processes_ends_the_other_with_a_message(
    start: Start, toy: Path, tmp_path: Path
) -> None:
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "datamodule.workers=0"]
    process = start("train", *ENDLESS, *two, f"data.root={toy}")
    wait_for(lambda: steps(tmp_path), process)
    (other,) = children(process)
    os.kill(other, signal.SIGKILL)
    code, output = ended(process)
    assert code == 1
    assert "error: another process of this run has ended (" in output and "Traceback" not in output


def test_a_full_disk_ends_training_and_keeps_the_last_checkpoint(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", runs], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        arguments = ["train", *TINY, f"data.root={toy}", "name=run"]
        every = ["callbacks.checkpoints.every=1", "callbacks.checkpoints.keep=1000"]
        full = deblurzoo(*arguments, *every, "trainer.max_steps=1000")
        assert full.returncode == 1
        assert "cannot be written (No space left on device): free disk space or choose another folder" in full.stderr
        assert "Traceback" not in full.stderr
        kept = steps(tmp_path)
        for step in kept:
            assert torch.load(runs / f"run/checkpoints/step_{step:08d}.ckpt", weights_only=True)["global_step"] == step
        assert kept and not list(runs.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", runs], check=True)


def test_a_checkpoint_that_cannot_be_written_on_sigterm_is_told(start: Start, toy: Path, tmp_path: Path) -> None:
    process = start("train", *ENDLESS[:-1], "callbacks.checkpoints.every=100000", f"data.root={toy}")
    wait_for(lambda: list(tmp_path.glob("runs/run/csv/*/metrics.csv")), process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    process.send_signal(signal.SIGTERM)
    code, output = ended(process)
    assert code == 1 and not steps(tmp_path)
    assert ".ckpt cannot be written (File too large): free disk space" in output and "stopped by a signal" not in output


@pytest.mark.processes
def test_a_server_that_never_answers_costs_seconds_once(process: Run, toy: Path) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "logger=wandb", "name=run", "trainer.max_steps=1"]
    asked: list[tuple[bytes, socket.socket]] = []

    def never_answer() -> None:
        with contextlib.suppress(OSError):  # closed below
            while True:
                connection, _ = silent.accept()
                asked.append((connection.recv(20).split()[1], connection))

    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=never_answer, daemon=True).start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = process(*arguments, WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url)
        silent.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 0, done.stderr
    assert {path for path, _ in asked} == {b"/graphql"}  # each request waits for its own timeout
    assert "W&B records offline: the server did not answer" in done.stdout + done.stderr
