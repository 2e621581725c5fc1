"""Gradient clipping and accumulation, with a moving average of the weights, for every network."""

import json
from pathlib import Path

import pytest

from commands.test_resume import STOP, assert_equal_to_the_bit, final
from conftest import TINY_NETS, TINY_RUN, Run
from verbs import refused

NORMS = ["+callbacks.norms._target_=spies.GradientNorms", "+callbacks.norms.file=norms"]
AVERAGED = ["callbacks=ema", "callbacks.ema.decay=0.9", "callbacks.inside=null",
            "callbacks.pictures=null", "trainer.accumulate_grad_batches=2", "trainer.max_steps=4",
            "trainer.val_check_interval=2", "callbacks.checkpoints.every=1"]  # fmt: skip


def arguments(network: str, root: Path, *more: str) -> list[str]:
    return ["train", f"model={network}", *TINY_RUN, *TINY_NETS[network], *AVERAGED, f"data.root={root}", *more]


def norms(folder: Path) -> list[dict[str, float]]:
    """Return the norms of the gradients of each step, see `spies.GradientNorms`, and remove their file."""
    lines = [json.loads(line) for line in (folder / "norms").read_text().splitlines()]
    (folder / "norms").unlink()
    return lines


@pytest.mark.parametrize(
    "network", ["srn", *(pytest.param(one, marks=pytest.mark.processes) for one in ("svrnn", "flow_rnn"))]
)
def test_clipped_accumulated_and_averaged_training_resumes_to_the_bit(
    network: str, deblurzoo: Run, toy: Path, flow_toy: Path, tmp_path: Path
) -> None:
    root = flow_toy if network == "flow_rnn" else toy
    same = arguments(network, root, *NORMS)
    clipped = [*same, "trainer.gradient_clip_val=0.01"]
    assert deblurzoo(*same, "name=free").returncode == 0
    assert min(one["all"] for one in norms(tmp_path)) > 0.011
    assert deblurzoo(*clipped, "name=whole").returncode == 0
    assert [one["all"] for one in norms(tmp_path)] == pytest.approx([0.01] * 4, rel=1e-3)

    stop = [*STOP[:1], "+callbacks.stop.batches=3", "+callbacks.stop.by_signal=false"]  # within the second step
    stopped = deblurzoo(*clipped, *stop, "name=stopped")
    assert stopped.returncode == 0 and "ended at step 1 of 4" in stopped.stdout, stopped.stderr
    done = deblurzoo(*clipped, "name=stopped", "resume=auto")
    assert done.returncode == 0, done.stderr
    assert_equal_to_the_bit(final(tmp_path / "runs" / "whole"), final(tmp_path / "runs" / "stopped"))


@pytest.mark.parametrize("whole", [None, 0.005, 0.05])
def test_both_limits_of_srn_hold(whole: float | None, deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    """The cell is clipped first, then all gradients together, so the second limit may scale the cell further."""
    limits = ["model.clip_lstm_norm=0.01", f"trainer.gradient_clip_val={'null' if whole is None else whole}"]
    assert deblurzoo(*arguments("srn", toy, *NORMS, "name=run", *limits)).returncode == 0
    for one in norms(tmp_path):
        assert 0 < one["cell"] <= 0.0101
        assert one["all"] <= 1.01 * whole if whole else one["all"] > 0.05


def test_elements_can_be_clipped(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    limits = ["trainer.gradient_clip_val=1e-4", "trainer.gradient_clip_algorithm=value"]
    assert deblurzoo(*arguments("svrnn", toy, *NORMS, "name=run", *limits)).returncode == 0
    assert all(one["largest"] == pytest.approx(1e-4) and one["all"] > 1e-3 for one in norms(tmp_path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1: Input should be greater than or equal to 0"),
        ("trainer.gradient_clip_algorithm=max", "gradient_clip_algorithm=max: Input should be 'norm' or 'value'"),
        ("trainer.accumulate_grad_batches=0", "accumulate_grad_batches=0: Input should be greater than 0"),
    ],
)
def test_wrong_limits_are_one_message(override: str, message: str, deblurzoo: Run, toy: Path) -> None:
    refused(deblurzoo(*arguments("srn", toy, "name=run", override)), message)
