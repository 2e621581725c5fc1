import cv2
import kornia
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d, laplace
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.metrics import METRICS, Metric, figure, metric
from deblurzoo.metrics.batches import image_metrics, to_uint8
from deblurzoo.metrics.protocols import MEASURES
from deblurzoo.metrics.psnr_ssim import UNCHANGED, decibels, image_psnr, image_ssim, image_ssim_matlab3d


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two smooth images with noise, (2, 3, 37, 50) uint8, one of them nearly flat, and their noise-free versions."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:37, :50]
    waves = 128 + 90 * np.sin(x / 5)[None] * np.cos(y / np.array([3, 4, 7])[:, None, None])
    flat = np.full((3, 37, 50), 200.0) + np.array([0, 20, 40])[:, None, None]
    sharp = np.stack([waves, flat])
    noisy = sharp + rng.normal(0, 12, sharp.shape)
    return tuple(torch.from_numpy(a.round().clip(0, 255).astype(np.uint8)) for a in (noisy, sharp))


def hwc(image: torch.Tensor) -> Image:
    picture: Image = image.permute(1, 2, 0).contiguous().numpy()
    return picture


def pictures(pair: tuple[torch.Tensor, torch.Tensor]) -> list[tuple[Image, Image]]:
    """Return the noisy and the sharp image of each pair."""
    return [(hwc(image), hwc(sharp)) for image, sharp in zip(*pair, strict=True)]


def test_psnr_is_scikit_images_per_image(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = [peak_signal_noise_ratio(s.numpy(), i.numpy(), data_range=255) for i, s in zip(*pair, strict=True)]
    np.testing.assert_allclose([image_psnr(*both) for both in pictures(pair)], expected, rtol=1e-12)


def test_ssim_is_kornias_in_float64(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    image, sharp = (images.double() / 255 for images in pair)
    expected = kornia.metrics.ssim(image, sharp, 11, eps=0)[..., 5:-5, 5:-5].mean((1, 2, 3))
    np.testing.assert_allclose([image_ssim(*both) for both in pictures(pair)], expected.numpy(), atol=1e-5)


def test_ssim_is_scikit_images_with_gaussian_weights(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = [
        structural_similarity(
            sharp,
            image,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            data_range=255,
        )
        for image, sharp in pictures(pair)
    ]
    np.testing.assert_allclose([image_ssim(*both) for both in pictures(pair)], expected, rtol=0, atol=5e-6)


def test_ssim_matlab3d_is_the_volume_filter_by_brute_force(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def smooth(volume: np.ndarray) -> np.ndarray:
        for axis in range(3):
            volume = correlate1d(volume, taps, axis=axis, mode="nearest")
        return volume

    for image, sharp in pictures(pair):
        x, y = image.astype(float), sharp.astype(float)
        c1, c2 = 2.55**2, 7.65**2
        mx, my = smooth(x), smooth(y)
        vx, vy, cov = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
        expected = ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
        assert abs(image_ssim_matlab3d(image, sharp) - expected) < 1e-5


def test_sharpness_is_the_variance_of_the_laplacian_of_each_image(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    sharpness = METRICS["sharpness"]
    for image, sharp in pictures(pair):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
        expected = laplace(grey, mode="mirror").var()
        assert sharpness.function(image, sharp) == pytest.approx(expected, rel=1e-9)
        assert sharpness.function(image, image) == sharpness.function(image, sharp), "the sharp image is ignored"
        assert sharpness.function(cv2.blur(image, (3, 3)), sharp) < expected / 4
    assert sharpness.no_reference and sum(metric.no_reference for metric in METRICS.values()) == 1


def test_equal_pictures_have_100_db_and_nothing_has_more(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    sharp = pair[1]
    for _, picture in pictures(pair):
        assert image_psnr(picture, picture) == decibels(0) == decibels(1e-9) == UNCHANGED
        assert image_ssim(picture, picture) == pytest.approx(1)
        assert image_ssim_matlab3d(picture, picture) == pytest.approx(1)
    metrics = image_metrics("psnr")
    metrics.update(sharp / 255, sharp / 255)
    assert metrics.compute()["psnr"] == UNCHANGED


def test_rounding_clamps_and_rounds_to_nearest() -> None:
    values = torch.tensor([-0.2, 0.0, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.0, 1.7])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255, 255]
    levels = torch.arange(256)
    assert torch.equal(to_uint8(levels / 255).long(), levels)


def test_floor_is_never_above_the_nearest() -> None:
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_uint8(values, "floor").long(), (values * 255).floor().long())
    assert to_uint8(torch.tensor([-0.2, 0.99 / 255, 254.9 / 255, 1.0, 1.7]), "floor").tolist() == [0, 0, 254, 255, 255]


def test_plain_measure_is_the_three_figures_of_each_picture_and_what_is_chosen(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    image, sharp = pictures(pair)[0]
    plain = MEASURES["plain"]
    assert plain.names(None) == plain.names([]) == plain.names(["ssim", "psnr"]) == ["psnr", "ssim", "ssim_matlab3d"]
    assert plain.names(["mssim", "ssim"]) == ["psnr", "ssim", "ssim_matlab3d", "mssim"]
    assert MEASURES["kohler"].names(["ssim"]) == ["psnr", "mssim", "ssim"]
    figures = plain.function([image, image // 2], [sharp], ["psnr", "ssim_matlab3d"])
    assert figures[0] == {"psnr": image_psnr(image, sharp), "ssim_matlab3d": image_ssim_matlab3d(image, sharp)}
    assert figures[1]["psnr"] < figures[0]["psnr"]


def test_a_metric_that_is_unknown_or_cannot_stand_in_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DeblurzooError, match=r"metric lpips is unknown: choose from psnr, ssim, ssim_matlab3d, mssim, .*, or"
    ):
        MEASURES["plain"].names(["psnr", "lpips"])
    with pytest.raises(DeblurzooError, match="metric warping needs consecutive frames: every evaluation of clips"):
        MEASURES["plain"].names(["warping"])
    for name in ("My-Metric", "a" * 41, "1st", "psnr\n", "__class__"):
        monkeypatch.setitem(METRICS, name, METRICS["psnr"])
        with pytest.raises(
            DeblurzooError,
            match="has an invalid name: use at most 40 characters of a-z, 0-9 and _, starting with",
        ):
            metric(name)


def test_a_figure_of_a_file_that_is_unknown_here_is_shown_by_its_name_with_four_digits() -> None:
    assert (figure("psnr").heading, figure("psnr").text(30.129)) == ("PSNR", "30.13")
    assert (figure("mine").heading, figure("mine").text(0.123449), figure("mine").unit) == ("mine", "0.1234", "")


def test_metric_is_the_mean_of_images_not_of_batches_or_pooled_errors(
    pair: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, sharp = (p.float() / 255 for p in pair)
    monkeypatch.setitem(METRICS, "red", Metric("Red", 1, "", False, lambda one, other: float(one[..., 0].mean())))
    metrics = image_metrics("psnr", "ssim", "red")
    metrics.update(image, sharp)
    metrics.update(image[:0], sharp[:0])
    metrics.update(image[:1], sharp[:1])
    values = [image_psnr(*both) for both in pictures(pair)]
    result = metrics.compute()
    assert result["psnr"].item() == pytest.approx((2 * values[0] + values[1]) / 3)
    red = [picture[..., 0].mean() for picture, _ in pictures(pair)]
    assert result["red"].item() == pytest.approx((2 * red[0] + red[1]) / 3)
    assert set(result) == {"psnr", "ssim", "red"}
