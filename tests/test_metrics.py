import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deblurzoo.metrics import image_metrics, picture_psnr, psnr, ssim, ssim_matlab3d, to_uint8
from deblurzoo.protocols import UNCHANGED, do_no_harm_psnr, plain


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two noisy smooth pictures (2, 3, 37, 50) uint8, one of them nearly flat."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:37, :50]
    waves = 128 + 90 * np.sin(x / 5)[None] * np.cos(y / np.array([3, 4, 7])[:, None, None])
    flat = np.full((3, 37, 50), 200.0) + np.array([0, 20, 40])[:, None, None]
    sharp = np.stack([waves, flat])
    noisy = sharp + rng.normal(0, 12, sharp.shape)
    return tuple(torch.from_numpy(a.round().clip(0, 255).astype(np.uint8)) for a in (noisy, sharp))


def hwc(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def test_psnr_is_scikit_images_per_image(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = [peak_signal_noise_ratio(s.numpy(), i.numpy(), data_range=255) for i, s in zip(*pair, strict=True)]
    np.testing.assert_allclose(psnr(*pair), expected, rtol=1e-6)
    pictures = [picture_psnr(hwc(i), hwc(s)) for i, s in zip(*pair, strict=True)]
    np.testing.assert_allclose(pictures, expected, rtol=1e-12)


def test_ssim_is_scikit_images_with_gaussian_weights(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = [
        structural_similarity(
            hwc(s),
            hwc(i),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            data_range=255,
        )
        for i, s in zip(*pair, strict=True)
    ]
    np.testing.assert_allclose(ssim(*pair), expected, rtol=0, atol=5e-6)


def test_ssim_matlab3d_is_the_volume_filter_by_brute_force(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def smooth(volume: np.ndarray) -> np.ndarray:
        for axis in range(3):
            volume = correlate1d(volume, taps, axis=axis, mode="nearest")
        return volume

    for image, sharp, value in zip(*pair, ssim_matlab3d(*pair), strict=True):
        x, y = hwc(image).astype(float), hwc(sharp).astype(float)
        c1, c2 = 2.55**2, 7.65**2
        mx, my = smooth(x), smooth(y)
        vx, vy, cov = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
        expected = ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
        assert abs(value.item() - expected) < 1e-5


def test_identical_pictures_are_perfect(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    sharp = pair[1]
    assert torch.isinf(psnr(sharp, sharp)).all()
    torch.testing.assert_close(ssim(sharp, sharp), torch.ones(2))
    torch.testing.assert_close(ssim_matlab3d(sharp, sharp), torch.ones(2))


def test_rounding_clamps_and_rounds_to_nearest() -> None:
    values = torch.tensor([-0.2, 0.0, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.0, 1.7])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255, 255]
    levels = torch.arange(256)
    assert torch.equal(to_uint8(levels / 255).long(), levels)


def test_floor_is_never_above_the_nearest() -> None:
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_uint8(values, "floor").long(), (values * 255).floor().long())
    assert to_uint8(torch.tensor([-0.2, 0.99 / 255, 254.9 / 255, 1.0, 1.7]), "floor").tolist() == [0, 0, 254, 255, 255]


def test_plain_measure_is_the_three_figures_of_each_picture(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    image, sharp = hwc(pair[0][0]), hwc(pair[1][0])
    figures = plain([image, image // 2], [sharp])
    batch = [torch.from_numpy(p.transpose(2, 0, 1).copy())[None] for p in (image, sharp)]
    assert list(figures[0]) == ["psnr", "ssim", "ssim_matlab3d"]
    expected = {"psnr": psnr, "ssim": ssim, "ssim_matlab3d": ssim_matlab3d}
    assert figures[0] == pytest.approx({name: function(*batch).item() for name, function in expected.items()})
    assert figures[1]["psnr"] < figures[0]["psnr"]


def test_doing_no_harm_is_finite(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    image, sharp = hwc(pair[0][0]), hwc(pair[1][0])
    assert do_no_harm_psnr(sharp, sharp) == UNCHANGED == 100
    assert do_no_harm_psnr(image, sharp) == picture_psnr(image, sharp) < 30


def test_metric_is_the_mean_of_images_not_of_batches_or_pooled_errors(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    image, sharp = (p.float() / 255 for p in pair)
    metrics = image_metrics("psnr", "ssim", "ssim_matlab3d")
    metrics.update(image, sharp)
    metrics.update(image[:1], sharp[:1])
    values = psnr(*pair)
    result = metrics.compute()
    torch.testing.assert_close(result["psnr"], (2 * values[0] + values[1]) / 3)
    assert set(result) == {"psnr", "ssim", "ssim_matlab3d"}
