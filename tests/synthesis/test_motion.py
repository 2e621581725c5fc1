import numpy as np
import pytest

from deblurzoo.synthesis.motion import hand_shake, motion_kernel


def centroid(kernel: np.ndarray) -> np.ndarray:
    y, x = np.indices(kernel.shape) - kernel.shape[0] // 2
    return np.array([(x * kernel).sum(), (y * kernel).sum()])


@pytest.mark.parametrize("length", [1.0, 7.5, 20.0])
def test_kernels_sum_to_1_and_do_not_shift_the_picture(length: float) -> None:
    kernel = motion_kernel(hand_shake(np.random.default_rng(0), 64, 64, length).shift)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert np.abs(centroid(kernel)).max() < 1e-4
    assert kernel.shape[0] <= length + 5


def test_straight_motion_along_x_is_a_box() -> None:
    kernel = motion_kernel(np.stack([np.linspace(-2, 2, 401), np.zeros(401)], axis=1))
    middle = kernel.shape[0] // 2
    assert kernel[middle].sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(kernel[middle, middle - 2 : middle + 3], [0.125, 0.25, 0.25, 0.25, 0.125], atol=2e-3)


def test_no_motion_is_the_identity() -> None:
    kernel = motion_kernel(np.zeros((5, 2)))
    assert kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] == 1 and kernel.sum() == 1
