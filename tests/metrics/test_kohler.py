"""Köhler's measure: registration with known result, multi-scale SSIM against a brute-force implementation."""

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter
from skimage.metrics import structural_similarity

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.metrics import METRICS, Metric
from deblurzoo.metrics.kohler import best_match
from deblurzoo.metrics.mssim import SMALLEST_SIDE, image_mssim, luminance, mssim
from deblurzoo.metrics.psnr_ssim import UNCHANGED

HEIGHT, WIDTH = 170, 190


def scene(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return smooth coloured noise, (H, W, 3) float64 from about 20 to 200."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = gaussian_filter(noise, (3, 3, 0), mode="wrap")
    return 110 + 30 * smooth / smooth.std()


def to_image(values: np.ndarray) -> Image:
    return values.round().clip(0, 255).astype(np.uint8)


def brute_force_mssim(x: np.ndarray, y: np.ndarray) -> float:
    """Return the multi-scale SSIM, computed in float64 with two-dimensional kernels on the valid region."""
    half = [0.037828455507260, -0.023849465019560, -0.110624404418440, 0.377402855612830]
    low = np.array([*half, 0.852698679008890, *half[::-1]])
    low_pass = np.outer(low, low) / low.sum() ** 2
    taps = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(taps, taps) / taps.sum() ** 2
    exponents, c1, c2 = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333], 2.55**2, 7.65**2
    result = 1.0
    for level, exponent in enumerate(exponents):
        if level:
            x, y = (convolve(plane, low_pass, mode="reflect")[::2, ::2] for plane in (x, y))
        views = [np.lib.stride_tricks.sliding_window_view(plane, (11, 11)) for plane in (x, y)]
        mx, my = ((view * window).sum((2, 3)) for view in views)
        dx, dy = (view - mean[..., None, None] for view, mean in zip(views, (mx, my), strict=True))
        vx, vy, cov = ((a * b * window).sum((2, 3)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
        contrast = (2 * np.sqrt(vx * vy) + c2) / (vx + vy + c2)
        structure = (cov + c2 / 2) / (np.sqrt(vx * vy) + c2 / 2)
        result *= contrast.mean() ** exponent * structure.mean() ** exponent
    light = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    return float(result * light.mean() ** exponents[-1])


def test_mssim_is_the_definition_by_brute_force() -> None:
    sharp = scene(0).mean(axis=2)
    noise = np.random.default_rng(1).normal(0, 9, sharp.shape)
    for other in (sharp + noise, gaussian_filter(sharp, 2), 0.8 * sharp, np.full_like(sharp, 110)):
        value = mssim(other.astype(np.float32), sharp.astype(np.float32))
        assert value == pytest.approx(brute_force_mssim(other, sharp), abs=2e-5)


def test_mssim_is_one_for_equal_planes_symmetric_and_falls_with_damage() -> None:
    sharp = scene(0).mean(axis=2).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=sharp.shape).astype(np.float32)
    values = [mssim(sharp + sigma * noise, sharp) for sigma in (0, 3, 10, 30)]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values == sorted(values, reverse=True) and values[-1] > 0
    assert mssim(sharp, sharp + noise) == pytest.approx(mssim(sharp + noise, sharp), abs=1e-6)
    assert mssim(255 - sharp, sharp) == 0, "a negative structure counts as 0"
    assert values[2] != pytest.approx(structural_similarity(sharp + 10 * noise, sharp, data_range=255), abs=0.01)


def test_mssim_needs_room_for_its_window_at_the_coarsest_level() -> None:
    side = SMALLEST_SIDE
    assert mssim(*[np.zeros((side, side), np.float32)] * 2) == 1
    with pytest.raises(DeblurzooError, match=f"{side - 1}x{side} pixels: multi-scale SSIM requires at least {side}"):
        mssim(*[np.zeros((side, side - 1), np.float32)] * 2)


@pytest.mark.parametrize("shift", [(0, 0), (5, -9), (-12, 3), (-1, -1), (20, 30)])
@pytest.mark.parametrize("gain", [0.85, 0.6])
def test_a_shifted_and_scaled_picture_is_registered(shift: tuple[int, int], gain: float) -> None:
    """Expected value by definition: error on the overlap of both images, no error outside."""
    sharp = scene(2)
    large = np.pad(sharp, ((40, 40), (40, 40), (0, 0)), mode="wrap")
    rows, columns = 40 + shift[0], 40 + shift[1]
    view = to_image(large[rows : rows + HEIGHT, columns : columns + WIDTH])  # shifted by `shift`, it matches `sharp`
    image, reference = to_image(gain * view.astype(float)), to_image(sharp)
    x, z = reference.astype(float), image.astype(float)
    scaled = (x * z).sum() / (z * z).sum() * z
    there = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift, x.shape, strict=False))
    here = tuple(slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(shift, x.shape, strict=False))
    error = (scaled[here] - x[there]) @ [0.299, 0.587, 0.114]
    expected = 10 * np.log10(255**2 * HEIGHT * WIDTH / (error**2).sum())
    (values,) = best_match([image], [reference])
    assert values["psnr"] == pytest.approx(expected, abs=1e-3)
    assert values["mssim"] > 0.999 if shift == (0, 0) else values["mssim"] > 0.98
    unregistered = 10 * np.log10(255**2 / ((x - z) ** 2).mean())
    assert values["psnr"] > unregistered + 8


def test_the_best_reference_counts_for_each_figure_and_each_image() -> None:
    references = [to_image(scene(seed)) for seed in (3, 4, 5)]
    images = [to_image(references[k] + np.random.default_rng(k).normal(0, 5, references[k].shape)) for k in (1, 2)]
    for image, values in zip(images, best_match(images, iter(references)), strict=True):
        alone = [best_match([image], [reference])[0] for reference in references]
        assert values == {name: max(one[name] for one in alone) for name in ("psnr", "mssim")}
        assert values["psnr"] > 30


def test_equal_pictures_have_the_highest_psnr() -> None:
    sharp = to_image(scene(8))
    (values,) = best_match([sharp], [to_image(scene(9)), sharp])
    assert values == {"psnr": UNCHANGED, "mssim": pytest.approx(1, abs=1e-6)}


def test_other_figures_are_of_the_registered_colours_and_the_best_by_their_direction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The image is the reference, shifted and half as bright; after registration, only rounding errors remain."""
    monkeypatch.setitem(METRICS, "mae", Metric("MAE", 3, "", False, mean_absolute_error))
    reference, other = to_image(scene(2)), to_image(scene(3))
    image = to_image(0.5 * np.roll(reference, (4, -6), (0, 1)))
    (values,) = best_match([image], [other, reference], ["psnr", "mssim", "mae", "ssim"])
    assert list(values) == ["psnr", "mssim", "mae", "ssim"]
    assert values["mae"] < 8 < 40 < mean_absolute_error(image, reference)  # the gain is computed before the shift
    assert values["ssim"] > 0.98 > METRICS["ssim"].function(image, reference)
    (alone,) = best_match([image], [other], ["psnr", "mssim", "mae"])
    assert alone["mae"] > values["mae"]


def mean_absolute_error(image: Image, sharp: Image) -> float:
    return float(np.abs(image.astype(float) - sharp).mean())


def test_mssim_of_pictures_is_that_of_their_luminances_as_they_lie() -> None:
    sharp = to_image(scene(2))
    moved = np.roll(sharp, 5, 0)
    (registered,) = best_match([moved], [sharp])
    assert image_mssim(sharp, sharp) == pytest.approx(1, abs=1e-6)
    assert image_mssim(moved, sharp) < registered["mssim"] - 0.1


def test_luminance_is_measured_not_colour() -> None:
    sharp = scene(6)
    tinted = sharp + 10 * np.array([0.587, -0.299, 0])  # another colour of the same luminance
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(luminance(sharp.astype(np.float32)), sharp @ weights, rtol=1e-5)
    (values,) = best_match([to_image(tinted)], [to_image(sharp)])
    assert values["psnr"] > 45 and values["mssim"] > 0.99


def test_a_black_picture_has_a_finite_value_and_another_size_is_refused() -> None:
    black, sharp = np.zeros((HEIGHT, WIDTH, 3), np.uint8), to_image(scene(7))
    (values,) = best_match([black], [sharp])
    assert 0 < values["psnr"] < 20 and 0 <= values["mssim"] < 0.5
    with pytest.raises(
        DeblurzooError, match=f"{WIDTH}x{HEIGHT - 1} pixels, but the blurry image has {WIDTH}x{HEIGHT}:"
    ):
        best_match([black], [sharp[:-1]])
