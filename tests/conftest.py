"""Shared fixtures: a small GOPRO-like data set made once, and deblurzoo as a real process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from deblurzoo.synthesis.toy import ToyOptions, write_toy

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TINY_NETS = {
    "srn": ["model.net.kernel_size=3", "model.net.blocks=1", "model.net.width=0.125"],
    "svrnn": ["model.net.width=0.125", "model.vgg16=null"],
    "liu2016": [],
    "flow_rnn": ["model.net.width=0.125", "loader.augmentation.crop=64", "loader.augmentation.zoom=null"],
}
"""Overrides that make the network of each conf/model small; they come after TINY_RUN."""

TINY_RUN = [
    "trainer=cpu",
    "logger=csv",
    "loader.batch_size=2",
    "loader.augmentation.crop=16",
    "loader.workers=1",
    "loader.val_frames=2",
]
"""Overrides that make the data of any experiment small."""

TINY = [*TINY_NETS["srn"], *TINY_RUN]

SMALL_TOY = ToyOptions(train_clips=2, test_clips=1, frames=3, height=48, width=64)
FLOW_TOY = ToyOptions(train_clips=1, test_clips=1, frames=3, height=70, width=90, flow=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--packaging", action="store_true", help="also build and install the wheel (needs the network)")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy data set of three 64x48 clips with three frames each; treat as read-only."""
    root = tmp_path_factory.mktemp("data") / "toy"
    write_toy(root, SMALL_TOY)
    return root


@pytest.fixture(scope="session")
def flow_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of three 90x70 frames with their true flow, large enough for FlowRNN; treat as read-only."""
    root = tmp_path_factory.mktemp("data") / "flow_toy"
    write_toy(root, FLOW_TOY)
    return root


@pytest.fixture
def dvd(toy: Path, tmp_path: Path) -> Path:
    """The toy pictures in DVD's layout: one training and one test video of three 64x48 frames."""
    root = tmp_path / "dvd"
    for split, video in (("train", "IMG_0001"), ("test", "IMG_0003")):
        clip = min((toy / split).iterdir())
        for kind, folder in (("blur", "input"), ("sharp", "GT")):
            target = root / "quantitative_datasets" / video / folder
            target.mkdir(parents=True)
            for number, picture in enumerate(sorted((clip / kind).iterdir())):
                cv2.imwrite(str(target / f"{number:05d}.jpg"), cv2.imread(str(picture)))
    return root


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a user without a W&B account."""
    dropped = ("WANDB_API_KEY", "WANDB_MODE", "HYDRA_FULL_ERROR")
    return {
        **{key: value for key, value in os.environ.items() if key not in dropped},
        "NETRC": os.devnull,
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }


@pytest.fixture
def deblurzoo(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `deblurzoo ARGUMENTS…` in an empty folder and return the finished process."""

    def run(*arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "deblurzoo.cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run
