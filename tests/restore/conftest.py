"""Checkpoints of tiny networks, trained once: one that returns its input, one that reads two frames."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TINY_NETS, TINY_RUN


def train(folder: Path, *overrides: str) -> Path:
    """Take one step with a learning rate of 0 and return the run folder."""
    step = ["name=run", "trainer.max_steps=1", "model.optimizer.lr=0"]
    subprocess.run(
        [sys.executable, "-m", "deblurzoo.cli", "train", *TINY_RUN, *overrides, *step],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    return folder / "runs" / "run"


@pytest.fixture(scope="session")
def identity(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an SRN that returns its input: its residual starts at zero and stays there."""
    overrides = ["model=srn", *TINY_NETS["srn"], "model.net.residual=true", f"data.root={toy}"]
    return train(tmp_path_factory.mktemp("identity"), *overrides)


@pytest.fixture(scope="session")
def two_frames(flow_toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a FlowRNN with random weights."""
    overrides = ["model=flow_rnn", *TINY_NETS["flow_rnn"], f"data.root={flow_toy}"]
    return train(tmp_path_factory.mktemp("two_frames"), *overrides)
