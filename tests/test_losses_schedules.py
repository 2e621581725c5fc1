import pytest
import torch
import torch.nn.functional as F

from deblurzoo.losses import pyramid_mse
from deblurzoo.nets import SRN
from deblurzoo.restore.padding import pad_to_multiple
from deblurzoo.schedules import polynomial


def test_pyramid_loss_is_one_mean_squared_error_per_scale() -> None:
    sharp = torch.rand(2, 3, 16, 16)
    pyramid = [torch.rand(2, 3, s, s) for s in (4, 8, 16)]
    resize = SRN(3, 1, 0.125).resize
    terms = pyramid_mse(pyramid, sharp, resize)
    assert list(terms) == ["mse_1_4", "mse_1_2", "mse_1_1"]
    # Down by four directly is the mean of the central 2x2 of each 4x4 block.
    quarter = sharp.unfold(2, 4, 4).unfold(3, 4, 4)[..., 1:3, 1:3].mean(dim=(-1, -2))
    torch.testing.assert_close(terms["mse_1_4"], F.mse_loss(pyramid[0], quarter))
    torch.testing.assert_close(terms["mse_1_1"], F.mse_loss(pyramid[2], sharp))


def test_polynomial_schedule_is_the_srn_papers() -> None:
    steps, start, end = 262_000, 1e-4, 1e-6
    for step in (0, 1, 100_000, 261_999, 262_000, 300_000):
        expected = (start - end) * max(0.0, 1 - step / steps) ** 0.3 + end
        assert start * polynomial(step, steps, power=0.3, end=0.01) == pytest.approx(expected, rel=1e-9)


def test_warmup_rises_linearly_to_the_schedule() -> None:
    factors = [polynomial(step, 1000, power=1.0, warmup=10) for step in range(12)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[4] == pytest.approx(0.5 * (1 - 4 / 1000))
    assert factors[10] == polynomial(10, 1000, power=1.0)


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (31, 45)])
def test_padding_replicates_the_bottom_and_right_edge(size: tuple[int, int]) -> None:
    frames = torch.rand(2, 3, 3, *size)
    padded = pad_to_multiple(frames, 16)
    h, w = size
    assert padded.shape[-2] % 16 == padded.shape[-1] % 16 == 0
    assert padded.shape[-2] - h < 16 and padded.shape[-1] - w < 16
    torch.testing.assert_close(padded[..., :h, :w], frames)
    torch.testing.assert_close(padded[..., h:, w:], frames[..., -1:, -1:].expand_as(padded[..., h:, w:]))
