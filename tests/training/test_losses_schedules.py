import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import SRN
from deblurzoo.nets.base import DeblurNet, pad_for
from deblurzoo.training.losses import WeightedLosses
from deblurzoo.training.schedules import SCHEDULES, factor


def test_pyramid_loss_is_one_mean_squared_error_per_scale() -> None:
    sharp = torch.rand(2, 3, 16, 16)
    pyramid = [torch.rand(2, 3, s, s) for s in (4, 8, 16)]
    resize = SRN(3, 1, 0.125).resize
    terms = WeightedLosses({"mse": 1.0}).at_each_scale(pyramid, sharp, resize)
    assert list(terms) == ["mse_1_4", "mse_1_2", "mse_1_1"]
    # Direct bilinear downsampling by four averages the central 2x2 pixels of each 4x4 block.
    quarter = sharp.unfold(2, 4, 4).unfold(3, 4, 4)[..., 1:3, 1:3].mean(dim=(-1, -2))
    torch.testing.assert_close(terms["mse_1_4"].value, F.mse_loss(pyramid[0], quarter))
    torch.testing.assert_close(terms["mse_1_1"].value, F.mse_loss(pyramid[2], sharp))


def test_each_loss_is_its_formula_and_has_its_weight() -> None:
    image, sharp = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    difference = (image - sharp).double()
    expected = {
        "mse": (difference**2).mean(),
        "l1": difference.abs().mean(),
        "charbonnier": (difference**2 + 1e-6).sqrt().mean(),
        "psnr": -torch.stack([10 * torch.log10(1 / (one**2).mean()) for one in difference]).mean(),
        "frequency": torch.from_numpy(np.fft.fft2(difference.numpy()).view(float)).abs().mean(),
    }
    weights = {name: weight for weight, name in enumerate(expected, start=1)}
    terms = WeightedLosses(weights)(image, sharp)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name].value.double(), value, rtol=1e-5, atol=1e-5)
        assert terms[name].weight == weights[name]


def test_a_loss_that_nobody_has_is_refused() -> None:
    with pytest.raises(
        DeblurzooError, match=r"model\.loss\.mes is not a known loss: choose from mse, l1, charbonnier, psnr, frequency"
    ):
        WeightedLosses({"mes": 1.0})


def test_polynomial_schedule_is_the_srn_papers() -> None:
    steps, start, end = 262_000, 1e-4, 1e-6
    for step in (0, 1, 100_000, 261_999, 262_000, 300_000):
        expected = (start - end) * max(0.0, 1 - step / steps) ** 0.3 + end
        assert start * factor(step, "polynomial", steps, power=0.3, end=0.01) == pytest.approx(expected, rel=1e-9)


def test_cosine_falls_from_one_to_its_end_by_half_a_wave() -> None:
    for step in (0, 1, 250, 500, 999, 1000, 2000):
        expected = 0.01 + 0.99 * (1 + math.cos(math.pi * min(1, step / 1000))) / 2
        assert factor(step, "cosine", 1000, end=0.01) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_begins_at_one_and_power_is_the_polynomials_alone(name: str) -> None:
    assert factor(0, name, 100, power=0.3) == 1
    assert (factor(50, name, 100, power=0.3) == factor(50, name, 100, power=2)) == (name != "polynomial")


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_rises_linearly_to_the_schedule(name: str) -> None:
    factors = [factor(step, name, 1000, warmup=10) for step in range(12)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[4] == pytest.approx(0.5 * factor(4, name, 1000))
    assert factors[10] == factor(10, name, 1000)


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (31, 45)])
def test_padding_replicates_the_bottom_and_right_edge(size: tuple[int, int]) -> None:
    frames, net = torch.rand(2, 3, 3, *size), DeblurNet()
    net.size_multiple = 16
    padded = pad_for(net, frames)
    h, w = size
    assert padded.shape[-2] % 16 == padded.shape[-1] % 16 == 0
    assert padded.shape[-2] - h < 16 and padded.shape[-1] - w < 16
    torch.testing.assert_close(padded[..., :h, :w], frames)
    torch.testing.assert_close(padded[..., h:, w:], frames[..., -1:, -1:].expand_as(padded[..., h:, w:]))
    net.fill = "zeros"
    zeros = pad_for(net, frames)
    assert zeros.shape == padded.shape and not zeros[..., h:, :].any() and not zeros[..., w:].any()
    assert torch.equal(zeros[..., :h, :w], frames)
