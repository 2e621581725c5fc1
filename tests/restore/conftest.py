"""Checkpoints of tiny networks, trained once: a network that returns its input, and a network of two frames."""

from pathlib import Path

import pytest

from conftest import TINY_NETS, TINY_RUN, user_environment
from verbs import call


def train(folder: Path, *overrides: str) -> Path:
    """Train one step with a learning rate of 0 and return the run folder."""
    step = ["name=run", "trainer.max_steps=1", "model.optimizer.lr=0"]
    done = call(["train", *TINY_RUN, *overrides, *step], folder, user_environment())
    assert done.returncode == 0, done.stderr
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
