"""The difference of two networks: means over clips, intervals, and the coverage of the intervals."""

import numpy as np
import pytest

from deblurzoo.reports.differences import difference, difference_lines
from deblurzoo.reports.results import Facts, Measured, Results
from reports.test_blur_sizes import FACTS


def results(psnr: dict[str, list[float]], name: str = "net", **facts: object) -> Results:
    """Return results with a PSNR for each frame of each clip."""
    images = [
        Measured(clip=clip, frame=str(n), height=64, width=64, ms=1.0, restored={"psnr": one}, blurry={"psnr": 20.0})
        for clip, values in psnr.items()
        for n, one in enumerate(values)
    ]
    return Results.of(Facts.model_validate({**FACTS, "name": name, **facts}), images)


def clips(psnr: np.ndarray) -> dict[str, list[float]]:
    return {f"clip{n}": list(map(float, values)) for n, values in enumerate(psnr)}


def test_the_mean_is_over_clips_and_frames_that_both_have() -> None:
    first = results({"a": [30, 30, 30, 30], "b": [20, 25]})
    second = results({"a": [31, 31, 31, 31], "b": [23]})
    assert difference(first, second, "psnr") == (2.0, None, 2)
    assert difference(second, first, "psnr") == (-2.0, None, 2)
    assert difference(first, second, "ssim") is None


def test_intervals_are_those_of_students_t() -> None:
    steps = [1.0, 1.1, 0.8, 1.3, 0.9, 0.6]
    first = results({f"clip{n}": [30.0, 32.0] for n in range(6)}, "A")
    second = results({f"clip{n}": [30.0 + step, 32.0 + step] for n, step in enumerate(steps)}, "B")
    found = difference(first, second, "psnr")
    deviation = np.std(steps, ddof=1)
    assert found and found.mean == pytest.approx(0.95) and found.clips == 6
    assert found.margin == pytest.approx(2.570582 * deviation / np.sqrt(6), rel=1e-6)  # t of 5 degrees of freedom
    low, high = 0.95 - found.margin, 0.95 + found.margin
    line = f"B minus A, PSNR: +0.95 dB, 95 % interval {low:+.2f} to {high:+.2f} over 6 clips"
    assert difference_lines([first, second], ["psnr", "ssim"]) == [line]
    assert difference_lines([first, second, second], ["psnr"]) == []
    few = results({f"clip{n}": [31.0] for n in range(5)}, "B")
    assert difference_lines([first, few], ["psnr"]) == ["B minus A, PSNR: +1.00 dB, too few clips for an interval (5)"]


def test_photos_are_clips() -> None:
    single = {"images": [30.0 + n / 10 for n in range(7)]}
    exposures = {f"photo{photo}_{n}": [30.0 + photo] for photo in range(6) for n in range(4)}
    for psnr, facts, number in ((single, {"independent": True}, 7), (single, {}, 1),
                                (exposures, {"protocol": "photos"}, 6), (exposures, {}, 24)):  # fmt: skip
        one = results(psnr, **facts)  # type: ignore[arg-type]
        found = difference(one, one, "psnr")
        assert found and found.clips == number and (found.margin is None) is (number < 6)


def test_intervals_cover_the_true_difference_in_95_of_100_cases() -> None:
    """11 clips of 4 frames; the clips' effects are twice the frames' noise."""
    rng = np.random.default_rng(24)
    first, true, covered = results(clips(np.full((11, 4), 30.0))), 0.3, 0
    for _ in range(2000):
        noise = rng.normal(0, 0.2, (11, 1)) + rng.normal(0, 0.1, (11, 4))
        found = difference(first, results(clips(30 + true + noise)), "psnr")
        assert found and found.margin is not None
        covered += abs(found.mean - true) <= found.margin
    assert 0.93 <= covered / 2000 <= 0.97
