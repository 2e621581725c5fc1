"""Self-ensemble: the mean of eight flips and rotations, the same in `evaluate`, `deblur` and Python."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import Run
from deblurzoo import load
from deblurzoo.media.images import read_image
from deblurzoo.nets.base import DeblurNet, restore_any_size
from verbs import refused


class Directed(DeblurNet):
    """A network whose result depends on directions: a convolution with random weights on each of two frames."""

    frames, size_multiple = 2, 8

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, blur: Tensor) -> Tensor:
        """Map (B, 2, 3, H, W) to (B, 3, H, W)."""
        return torch.tanh(self.layer(blur.flatten(1, 2)))


def test_a_self_ensemble_is_the_mean_over_the_eight_symmetries_of_a_square() -> None:
    net, blur = Directed().eval(), torch.rand(2, 2, 3, 19, 30)
    with torch.inference_mode():
        found = restore_any_size(net, blur, self_ensemble=True)
        results = []
        for transposed in (False, True):
            for dims in ((), (-1,), (-2,), (-2, -1)):
                frames = blur.mT.flip(dims) if transposed else blur.flip(dims)
                image = restore_any_size(net, frames).flip(dims)
                results.append(image.mT if transposed else image)
        torch.testing.assert_close(found, torch.stack(results).mean(0))
        assert not torch.allclose(found, restore_any_size(net, blur), atol=1e-2)
        turned = restore_any_size(net, blur.rot90(1, (-2, -1)), self_ensemble=True)
    torch.testing.assert_close(turned, found.rot90(1, (-2, -1)))


def test_evaluate_deblur_and_python_use_the_same_ensemble(run: Path, toy: Path, tmp_path: Path, deblurzoo: Run) -> None:
    evaluate = ["evaluate", f"checkpoint={run}", "data=toy", f"data.root={toy}", "trainer=cpu", "no_harm=0"]
    for words in ([], ["self_ensemble=true"]):
        done = deblurzoo(*evaluate, *words)
        assert done.returncode == 0, done.stderr
    plain, ensemble = (run / "evaluate" / name for name in ("toy_blur", "toy_blur_self_ensemble"))
    names = [json.loads((folder / "results.json").read_text())["name"] for folder in (plain, ensemble)]
    assert names == ["run", "run self_ensemble"]
    (blurry,) = toy.glob("test/*/blur/000001.png")
    restored = ensemble / "restored" / blurry.parent.parent.name / blurry.name
    single = plain / "restored" / blurry.parent.parent.name / blurry.name
    done = deblurzoo("deblur", blurry, "--checkpoint", run, "--out", "out", "--device", "cpu", "--self-ensemble")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_image(tmp_path / "out" / blurry.name), read_image(restored))
    assert (read_image(restored) != read_image(single)).any()
    again = load(run, "cpu", self_ensemble=True)(read_image(blurry))
    np.testing.assert_array_equal(again, read_image(restored))


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="an Apple GPU is available")
def test_a_missing_apple_gpu_is_reported(run: Path, toy: Path, deblurzoo: Run) -> None:
    (blurry,) = toy.glob("test/*/blur/000001.png")
    done = deblurzoo("deblur", blurry, "--checkpoint", run, "--out", "out", "--device", "mps")
    refused(done, "device=mps requires an Apple GPU, but torch finds none: use cpu or auto")
    data = ["data=toy", f"data.root={toy}", "trainer.accelerator=mps"]
    message = "trainer.accelerator=mps: torch finds no Apple GPU here: set trainer=cpu or trainer=gpu"
    refused(deblurzoo("evaluate", f"checkpoint={run}", *data), message)
    refused(deblurzoo("train", "experiment=srn_toy", *data), message)
