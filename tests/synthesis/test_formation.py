import numpy as np
import pytest
import torch

from deblurzoo.synthesis.formation import expose, form_blur
from deblurzoo.synthesis.options import Response

RESPONSES: tuple[Response, ...] = (None, 2.2, "srgb")


@pytest.mark.parametrize("response", RESPONSES)
def test_constant_picture_stays_constant_to_the_last_bit(response: Response) -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    for count in (1, 2, 7, 13, 65):
        assert torch.equal(form_blur(levels.expand(count, 1, 16, 16), response), levels)
    frame = torch.rand(3, 8, 8)
    assert torch.equal(form_blur(frame.expand(11, 3, 8, 8), response), frame)


def test_moving_impulse_gives_its_path() -> None:
    frames = torch.zeros(7, 1, 4, 9)
    for t in range(7):
        frames[t, 0, 1, t + 1] = 1
    blurred = form_blur(frames)
    expected = torch.zeros(1, 4, 9)
    expected[0, 1, 1:8] = 1 / 7
    torch.testing.assert_close(blurred, expected)
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0))  # energy is preserved


def test_moving_impulse_of_8_bits_gives_its_path() -> None:
    frames = np.zeros((5, 3, 9, 3), np.uint8)
    for t in range(5):
        frames[t, 1, t + 2] = 250
    blurred = expose(frames)
    assert blurred.dtype == np.uint8 and (blurred[1, 2:7] == 50).all()
    assert blurred.sum() == frames[0].sum()


def test_energy_is_kept_in_light() -> None:
    frames = torch.rand(9, 3, 8, 8, dtype=torch.float64)
    light = form_blur(frames, 2.2) ** 2.2
    torch.testing.assert_close(light.sum(), (frames**2.2).sum() / 9)


def test_half_levels_go_to_the_even_one() -> None:
    pair = torch.tensor([[0, 1, 2], [1, 2, 3]], dtype=torch.uint8)
    assert form_blur(pair).tolist() == [0, 2, 2]


def test_a_response_averages_in_linear_light() -> None:
    frames = torch.tensor([0.0, 1.0])[:, None, None, None]
    torch.testing.assert_close(form_blur(frames), torch.full((1, 1, 1), 0.5))
    torch.testing.assert_close(form_blur(frames, 2.2), torch.full((1, 1, 1), 0.5 ** (1 / 2.2)))
    torch.testing.assert_close(form_blur(frames, "srgb"), torch.full((1, 1, 1), 1.055 * 0.5 ** (1 / 2.4) - 0.055))
    dark = torch.tensor([0.0, 0.04])[:, None]  # both in the linear segment of sRGB
    torch.testing.assert_close(form_blur(dark, "srgb"), torch.tensor([0.02]))


@pytest.mark.parametrize("response", RESPONSES)
def test_8_bits_agree_with_floats(response: Response) -> None:
    stored = torch.randint(0, 256, (11, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    exact = form_blur(stored.double() / 255, response) * 255
    assert torch.equal(form_blur(stored, response), exact.round().to(torch.uint8))


def test_frames_may_come_one_by_one_and_there_must_be_one() -> None:
    frames = torch.rand(5, 3, 8, 8)
    assert torch.equal(form_blur(iter(frames), 2.2), form_blur(frames, 2.2))
    with pytest.raises(ValueError, match="no frames"):
        form_blur([])
