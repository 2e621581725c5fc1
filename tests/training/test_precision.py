"""Default precision of training."""

from pathlib import Path

import pytest
import torch

from conftest import TINY, Run
from deblurzoo.training.precision import FULL, LOW, is_one, training_precision

CPU = Path("/proc/cpuinfo")


@pytest.mark.skipif(not CPU.is_file(), reason="CPU features are known only on Linux")
def test_a_cpu_trains_in_bfloat16_if_it_multiplies_it_itself() -> None:
    natively = not {"avx512_bf16", "amx_bf16"}.isdisjoint(CPU.read_text().split())
    assert training_precision("cpu") == ("bf16-mixed" if natively else "32-true")


def test_a_run_goes_on_in_the_precision_that_it_began_in(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    other = LOW if training_precision("cpu") == FULL else FULL
    for step, precision in enumerate((other, "auto"), 1):
        arguments = ["name=run", "resume=auto", f"trainer.max_steps={step}", f"trainer.precision={precision}"]
        done = deblurzoo("train", *TINY, f"data.root={toy}", *arguments)
        assert done.returncode == 0 and f"in {other}" in done.stdout, done.stderr
        newest = tmp_path / f"runs/run/checkpoints/step_{step:08d}.ckpt"
        facts = torch.load(newest, weights_only=True)["deblurzoo"]
        assert facts["precision"] == other and facts["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(("devices", "one"), [(1, True), ("1", True), ([0], True), (2, False), ("0,1", False)])
def test_a_list_of_one_device_is_one_device(devices: object, one: bool) -> None:
    assert is_one(devices) is one
