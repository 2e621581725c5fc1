import torch

from deblurzoo.synthesis import form_blur


def test_constant_picture_stays_constant_to_the_last_bit() -> None:
    frame = torch.rand(3, 8, 8)
    for gamma in (None, 2.2):
        assert torch.equal(form_blur(frame.expand(11, 3, 8, 8), gamma), frame)


def test_moving_impulse_gives_its_path() -> None:
    frames = torch.zeros(7, 1, 4, 9)
    for t in range(7):
        frames[t, 0, 1, t + 1] = 1
    blurred = form_blur(frames)
    expected = torch.zeros(1, 4, 9)
    expected[0, 1, 1:8] = 1 / 7
    torch.testing.assert_close(blurred, expected)
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0))  # energy is kept


def test_gamma_averages_in_linear_light() -> None:
    frames = torch.tensor([0.0, 1.0])[:, None, None, None]
    torch.testing.assert_close(form_blur(frames, 2.2), torch.full((1, 1, 1), 0.5 ** (1 / 2.2)))
    torch.testing.assert_close(form_blur(frames), torch.full((1, 1, 1), 0.5))
