import cv2
import numpy as np
import pytest
import skimage.data

from deblurzoo.errors import DeblurzooError
from deblurzoo.synthesis.interpolation import LARGEST_MOTION, flow_between, in_between, motion

ASTRONAUT, COFFEE = skimage.data.astronaut(), skimage.data.coffee()


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((image.astype(float) - truth) ** 2)))


def panned(x: float) -> np.ndarray:
    """Return the view (180, 320) of a camera that has panned right by x pixels: everything moves left."""
    part = cv2.getRectSubPix(COFFEE, (320, 180), (300 + x, 200))
    return np.asarray(part, np.uint8)


def passing(x: float) -> np.ndarray:
    """Return a disc of one photo, shifted right by x pixels, in front of another photo."""
    shift = np.array([[1, 0, x], [0, 1, 0]], float)
    shape = np.zeros((400, 600), np.float32)
    cv2.circle(shape, (200, 200), 80, 1, -1)
    disc = cv2.copyMakeBorder(ASTRONAUT[:400].astype(np.float32), 0, 0, 0, 88, cv2.BORDER_REPLICATE)
    opacity, disc = (cv2.warpAffine(picture, shift, (600, 400)) for picture in (shape, disc))
    picture = opacity[..., None] * disc + (1 - opacity[..., None]) * COFFEE
    return np.asarray(picture.round(), np.uint8)


def test_between_two_views_of_a_turning_camera_is_the_view_on_the_way() -> None:
    times = [0.25, 0.5, 0.75]
    for time, frame in zip(times, in_between(panned(0), panned(8), times), strict=True):
        assert frame.dtype == np.uint8 and frame.shape == (180, 320, 3)
        assert psnr(frame, panned(8 * time)) > 38
        assert psnr(frame[:, -8:], panned(8 * time)[:, -8:]) > 30  # also where new content enters the image


def test_identical_frames_give_that_frame_to_the_bit() -> None:
    for frame in in_between(COFFEE, COFFEE, [0.1, 0.5, 0.9]):
        assert np.array_equal(frame, COFFEE)


def test_the_same_frames_come_out_when_time_runs_backwards() -> None:
    there, back = in_between(panned(0), panned(6), [0.25])[0], in_between(panned(6), panned(0), [0.75])[0]
    assert np.abs(there.astype(int) - back).max() <= 1


def test_a_passing_object_leaves_no_ghost() -> None:
    first, second, middle = passing(0), passing(24), passing(12)
    plain = (first.astype(float) + second) / 2
    frame = in_between(first, second, [0.5])[0]
    whole, uncovered, covered = np.s_[:], np.s_[120:280, 90:150], np.s_[120:280, 250:310]
    for place, gain in ((whole, 14), (uncovered, 12), (covered, 13)):
        assert psnr(frame[place], middle[place]) > psnr(plain[place], middle[place]) + gain


def test_motion_is_the_shift_in_pixels() -> None:
    assert motion(panned(0), panned(0)) == 0
    for shift in (1, 4.5, 9):
        assert motion(panned(0), panned(shift)) == pytest.approx(shift, abs=0.3)
    assert np.median(flow_between(panned(0), panned(5)), axis=(0, 1)) == pytest.approx([-5, 0], abs=0.1)


def test_a_cut_is_more_motion_than_can_be_trusted() -> None:
    first, second = COFFEE[:360, :512], ASTRONAUT[:360, :512]
    assert motion(first, second) > LARGEST_MOTION * 512
    assert motion(panned(0), panned(9)) < LARGEST_MOTION * 320


def test_wrong_input_is_refused() -> None:
    for times in ([0.5, 1.0], [0.0], [-0.1]):
        with pytest.raises(DeblurzooError, match="must be between 0 and 1"):
            in_between(COFFEE, COFFEE, times)
    with pytest.raises(DeblurzooError, match=r"600x400 and 512x512 pixels: both sizes must be equal, and at least"):
        motion(COFFEE, ASTRONAUT)
    with pytest.raises(DeblurzooError, match="16x40"):
        motion(COFFEE[:40, :16], COFFEE[:40, :16])
