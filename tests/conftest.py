"""Shared fixtures: small data sets and runs, and `deblurzoo` as a function call and as a process."""

import ctypes
import gc
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tests run in parallel

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from scipy.ndimage import gaussian_filter

from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import write_toy
from deblurzoo.training.srn import SRNDeblur
from verbs import Process, call

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., Process]

TINY_NETS = {
    "srn": ["model.net.kernel_size=3", "model.net.blocks=1", "model.net.width=0.125"],
    "svrnn": ["model.net.width=0.125", "model.vgg16=null"],
    "liu2016": [],
    "nafnet": ["model.net.width=4", "model.net.encoder_blocks=[1,1]", "model.net.decoder_blocks=[1,1]"],
    "flow_rnn": ["model.net.width=0.125", "datamodule.augmentation.crop=64", "datamodule.augmentation.zoom=null"],
}
"""Overrides that shrink the network of each conf/model; to be placed after TINY_RUN."""

TINY_RUN = [
    "trainer=cpu",
    "logger=csv",
    "datamodule.batch_size=2",
    "datamodule.augmentation.crop=16",
    "datamodule.workers=1",
    "datamodule.val_frames=2",
]
"""Overrides that shrink the data of any experiment."""

TINY = [*TINY_NETS["srn"], *TINY_RUN]

USERS_EXPERIMENT = """# @package _global_
defaults: [srn_toy, _self_]
name: mine
model: {net: {width: 0.125}}
datamodule: {batch_size: 2, augmentation: {crop: 32}, val_frames: 1}
trainer: {max_steps: 1, val_check_interval: 1}
"""
"""An experiment in a user's folder, passed by --config-dir."""

SWEEP_EXPERIMENT = """# @package _global_
defaults: [override /model: svrnn, override /trainer: cpu, override /logger: csv]
name: table
model: {net: {width: 0.125}, vgg16: null}
datamodule: {batch_size: 2, workers: 1, val_frames: 2, augmentation: {crop: 16}}
trainer: {max_steps: 2, val_check_interval: 2}
callbacks: {checkpoints: {every: 1}}
"""
"""A user's experiment, small enough for sweeps in tests."""

SMALL_TOY = ToyOptions(train_clips=2, test_clips=1, frames=3, height=48, width=64)
FLOW_TOY = ToyOptions(train_clips=1, test_clips=1, frames=3, height=70, width=90, flow=True)


def wait_for(event: Callable[[], object], process: Process) -> None:
    """Wait until `event` returns a true value; fail if the process ends first."""
    deadline = time.monotonic() + 600
    while not event():
        assert process.poll() is None and time.monotonic() < deadline, process.result(timeout=1)
        time.sleep(0.005)


def pytest_collection_finish() -> None:
    """Exclude imported modules from the garbage collection after each verb."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark browser tests as `processes`, and run these long tests first: at the end, they would leave cores idle."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("processes")
    items.sort(key=lambda item: item.get_closest_marker("processes") is None)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy data set of three clips, each of three 64x48 frames; treat as read-only."""
    root = tmp_path_factory.mktemp("data") / "toy"
    write_toy(root, SMALL_TOY)
    return root


@pytest.fixture(scope="session")
def flow_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of three 90x70 frames with ground-truth flow, large enough for FlowRNN; treat as read-only."""
    root = tmp_path_factory.mktemp("data") / "flow_toy"
    write_toy(root, FLOW_TOY)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of seven photos of two sizes, 1.png to 7.png."""
    folder = tmp_path / "photos"
    folder.mkdir()
    coffee, cat = (cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in (skimage.data.coffee(), skimage.data.chelsea()))
    for number in range(1, 8):
        photo = (coffee if number % 2 else cat)[20 * number : 20 * number + 150, 30 * number : 30 * number + 200]
        cv2.imwrite(str(folder / f"{number}.png"), photo[:, : 200 - 10 * (number % 2)])
    return folder


@pytest.fixture
def dvd(toy: Path, tmp_path: Path) -> Path:
    """The toy images in DVD's layout: one training and one test video of three 64x48 frames."""
    return write_dvd(toy, tmp_path / "dvd")


def write_dvd(toy: Path, root: Path) -> Path:
    """Write the first training clip and the first test clip of toy data in DVD's layout; return the folder."""
    for split, video in (("train", "IMG_0001"), ("test", "IMG_0003")):
        clip = min((toy / split).iterdir())
        for kind, folder in (("blur", "input"), ("sharp", "GT")):
            target = root / "quantitative_datasets" / video / folder
            target.mkdir(parents=True)
            for number, picture in enumerate(sorted((clip / kind).iterdir())):
                cv2.imwrite(str(target / f"{number:05d}.jpg"), cv2.imread(str(picture)))
    return root


def write_kohler(root: Path, height: int, width: int) -> None:
    """Write archives in Köhler's layout: 48 blurry images, each with the ground-truth frames 2 and 10.

    A blurry image is frame 10, darkened by 20 %, shifted by (kernel number, 3) pixels, with noise.
    """
    rng = np.random.default_rng(0)
    root.mkdir()

    def png(values: np.ndarray) -> bytes:
        return cv2.imencode(".png", values.round().clip(0, 255).astype(np.uint8))[1].tobytes()

    with zipfile.ZipFile(root / "BlurryImages.zip", "w") as blurry:
        for image in range(1, 5):
            scene = gaussian_filter(rng.normal(size=(height, width, 3)), (3, 3, 0), mode="wrap")
            sharp = 120 + 35 * scene / scene.std()
            with zipfile.ZipFile(root / f"GroundTruth_pngs_Image{image}.zip", "w") as truth:
                for kernel in range(1, 13):
                    moved = np.roll(sharp, (kernel, 3), (0, 1))
                    folder = f"Image{image}/Kernel{kernel}/GroundTruth{image}_{kernel}"
                    truth.writestr(f"{folder}_2.png", png(cv2.GaussianBlur(sharp, (0, 0), 4)))
                    truth.writestr(f"{folder}_10.png", png(sharp))
                    noisy = 0.8 * moved + rng.normal(0, 3, sharp.shape)
                    blurry.writestr(f"Blurry{image}_{kernel}.png", png(noisy))


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A run folder with a checkpoint of a small network that returns its input."""
    arguments = {"optimizer": {"lr": 1e-3}, "schedule": {"steps": 1, "power": 1}}
    module = SRNDeblur(net={"kernel_size": 3, "blocks": 1, "width": 0.125, "residual": True}, **arguments)
    facts = {"run_id": "0", "blur_folder": "blur", "module": "SRNDeblur"}
    path = tmp_path / "runs" / "identity" / "checkpoints" / "step_00000000.ckpt"
    path.parent.mkdir(parents=True)
    content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams), "deblurzoo": facts}
    torch.save({**content, "global_step": 0, "optimizer_states": [], "lr_schedulers": []}, path)
    return path.parents[1]


SHORT = [*TINY, "name=run", "trainer.max_steps=3"]
"""Overrides of the run in `trained_run`."""


@pytest.fixture(scope="session")
def trained_run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of three training steps on `toy`; treat as read-only."""
    folder = tmp_path_factory.mktemp("trained")
    done = call(["train", *SHORT, f"data.root={toy}"], folder, user_environment())
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "run"


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """`runs/run`: a copy of `trained_run`, to resume, evaluate or corrupt."""
    return Path(shutil.copytree(trained_run, tmp_path / "runs" / "run"))


@pytest.fixture
def sweep(tmp_path: Path, toy: Path) -> list[str]:
    """The arguments of a sweep over a user's small experiment."""
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "table.yaml").write_text(SWEEP_EXPERIMENT)
    return ["train", "--config-dir", "conf", "-m", "experiment=table", f"data.root={toy}"]


def user_environment() -> dict[str, str]:
    """Return the environment of a user without a W&B account."""
    dropped = ("WANDB_API_KEY", "WANDB_MODE", "HYDRA_FULL_ERROR")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {**kept, "NETRC": os.devnull, "COLUMNS": "120"}


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a user without a W&B account."""
    return user_environment()


@pytest.fixture
def obeying() -> Iterator[None]:
    """Obey the permissions of files, which root ignores: without two of root's capabilities until the test ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3 of capabilities(7)
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    effective = sets[0]
    sets[0] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
    yield
    sets[0] = effective
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture
def deblurzoo(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `deblurzoo ARGUMENTS…` in an empty folder, as a call in this process, and return exit code and output."""

    def run(*arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        return call([*map(str, arguments)], tmp_path, {**environment, **variables})

    return run


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start `deblurzoo ARGUMENTS…` as a real process in parallel to the test; it is killed when the test ends."""
    processes = []

    def run(*arguments: object, **variables: str) -> Process:
        processes.append(Process([*map(str, arguments)], tmp_path, {**environment, **variables}))
        return processes[-1]

    yield run
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def process(start: Start) -> Run:
    """Run `deblurzoo ARGUMENTS…` as a real process, with separate signals and environment, and wait for its end."""
    return lambda *arguments, **variables: start(*arguments, **variables).result()
