import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from conftest import TINY
from deblurzoo.batch import Batch
from deblurzoo.data import Toy
from deblurzoo.data.batches import SLOTS, BatchLoader, told_reader_failures
from deblurzoo.data.datamodule import FullFrames, TrainingCrops
from deblurzoo.data.sampling import StepSampler
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError
from verbs import refused


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_that_are_kept_are_never_overwritten(toy: Path, workers: int) -> None:
    crops = TrainingCrops(Toy(str(toy), "blur").samples("train", 2), Augmentation(crop=16), seed=0)
    steps = list(StepSampler(3, 0, 4 * workers * SLOTS + 3))
    loader = BatchLoader(crops, workers, batch_sampler=steps)
    for _ in range(2):
        first = iter(loader)
        for _ in range(3):
            next(first)  # an abandoned iterator leaves batches behind
    for step, batch in zip(steps, list(loader), strict=True):
        assert batch.blur.shape == (3, 2, 3, 16, 16) and batch.sharp.shape == (3, 3, 16, 16)
        for index, number in enumerate(step):
            assert torch.equal(batch.blur[index], crops[number].blur)
            assert torch.equal(batch.sharp[index], crops[number].sharp)
            assert (batch.clip[index], batch.frame[index]) == crops[number][2:4]


def test_pictures_of_any_sizes_are_given_one_by_one(toy: Path, flow_toy: Path) -> None:
    samples = [s for _ in range(4) for root in (toy, flow_toy) for s in Toy(str(root), "blur").samples("test", 1)]
    data = FullFrames(samples)
    batches = list(BatchLoader(data, 1, batch_size=1))
    assert {batch.sharp.shape for batch in batches} == {(1, 3, 48, 64), (1, 3, 70, 90)}
    assert all(torch.equal(batch.blur[0], data[index].blur) for index, batch in enumerate(batches))


class Killed(Dataset[Batch]):
    """Data set that kills the process that reads a sample."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> Batch:
        os.kill(os.getpid(), self.number)
        raise AssertionError


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS])  # SIGBUS: write to missing shared memory
def test_what_kills_a_reader_is_told(number: signal.Signals) -> None:
    message = "a data-loader worker was killed .*, possibly for lack of memory or shared memory: set a smaller datam"
    with pytest.raises(DeblurzooError, match=message), told_reader_failures():
        next(iter(BatchLoader(Killed(number), 1, batch_size=1)))


class Stuck(Dataset[Batch]):
    """Data set that sends SIGTERM to the process that created it when a sample is read, and then blocks."""

    def __init__(self) -> None:
        self.process = os.getpid()

    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> Batch:
        os.kill(self.process, signal.SIGTERM)
        os.read(os.pipe()[0], 1)
        raise AssertionError


def wait_for_a_stuck_reader(workers: int) -> None:
    os.setsid()
    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.1  # time for a worker to exit cleanly
    signal.signal(signal.SIGTERM, lambda number, frame: print("handled", flush=True))  # does not exit
    next(iter(BatchLoader(Stuck(), workers, batch_size=1)))


@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm_ends_the_wait_for_a_reader_that_is_stuck(workers: int, capfd: pytest.CaptureFixture[str]) -> None:
    process = multiprocessing.get_context("fork").Process(target=wait_for_a_stuck_reader, args=(workers,))
    process.start()
    process.join(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its worker as well
    assert process.exitcode == 1 and capfd.readouterr().out == "handled\n"


@pytest.mark.processes
def test_a_temporary_folder_that_cannot_hold_a_socket_is_an_error(
    environment: dict[str, str], toy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    train = [sys.executable, "-m", "deblurzoo", "train", *TINY, f"data.root={toy}", "name=run"]
    variables = environment | {"TMPDIR": str(folder)}
    done = subprocess.run(train, cwd=tmp_path, env=variables, capture_output=True, text=True)
    refused(done, f"the data-loader workers cannot create a socket in {folder} (AF_UNIX path too long)")
