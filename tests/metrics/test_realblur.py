"""RealBlur's measure against the authors' procedure, which is written here a second time from their code."""

import cv2
import numpy as np
import pytest
import skimage.data
from skimage.metrics import structural_similarity

from deblurzoo.media import Image
from deblurzoo.metrics.protocols import ALIGNED, MEASURES, PLAIN
from deblurzoo.metrics.psnr_ssim import UNCHANGED

SHARP = {
    "coffee": skimage.data.coffee()[100:340, 150:450],
    "cat": skimage.data.chelsea()[20:280, 60:400],
    "astronaut": skimage.data.astronaut()[:300, 100:400],
    "rocket": skimage.data.rocket()[150:400, 250:550],
}


def displaced(sharp: Image) -> Image:
    """Return an image shifted by (1.3, -0.7) pixels, with 5 % less light and the noise of 8 bits."""
    shift = np.array([[1, 0, 1.3], [0, 1, -0.7]])
    size = sharp.shape[1], sharp.shape[0]
    moved = cv2.warpAffine(sharp, shift, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
    return (0.95 * moved).round().astype(np.uint8)


def published(deblurred: Image, gt: Image) -> tuple[float, float]:
    """Return PSNR and SSIM by the steps of `evaluation_RealBlur_ecc.py`, in the order of that script.

    The script requires scikit-image 0.17, whose SSIM is computed in float64 for any input.
    """
    z, x = (image.astype("float32") / 255 for image in (deblurred, gt))
    zs = (np.sum(x * z) / np.sum(z * z)) * z
    warp = np.eye(3, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
    gray_x, gray_z = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.cvtColor(zs, cv2.COLOR_RGB2GRAY)
    _, warp = cv2.findTransformECC(gray_x, gray_z, warp, cv2.MOTION_HOMOGRAPHY, criteria, None, 5)
    height, width = x.shape[:2]
    cubic, nearest = cv2.INTER_CUBIC + cv2.WARP_INVERSE_MAP, cv2.INTER_NEAREST + cv2.WARP_INVERSE_MAP
    zr = cv2.warpPerspective(zs, warp, (width, height), flags=cubic, borderMode=cv2.BORDER_REFLECT)
    ones = np.ones_like(zs, dtype="float32")
    cr = cv2.warpPerspective(ones, warp, (width, height), flags=nearest, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    zr, xr = zr * cr, x * cr
    error = np.sum((xr - zr) ** 2, dtype=np.float64) / np.sum(cr)
    _, ssim_map = structural_similarity(
        xr.astype(np.float64), zr.astype(np.float64), channel_axis=2, gaussian_weights=True,
        use_sample_covariance=False, data_range=1.0, full=True,
    )  # fmt: skip
    ssim_map = (ssim_map * cr)[5:-5, 5:-5, :]
    ssim = np.mean(ssim_map.sum(axis=0).sum(axis=0) / cr[5:-5, 5:-5, :].sum(axis=0).sum(axis=0))
    return 10 * np.log10(1 / error), float(ssim)


def aligned(image: Image, sharp: Image) -> dict[str, float]:
    (found,) = MEASURES["realblur"].function([image], [sharp], [*PLAIN, *ALIGNED])
    return found


@pytest.mark.parametrize("name", SHARP)
def test_aligned_metrics_are_the_authors(name: str) -> None:
    sharp = SHARP[name]
    image = displaced(sharp)
    found, (psnr, ssim) = aligned(image, sharp), published(image, sharp)
    assert found["psnr_aligned"] == pytest.approx(psnr, abs=1e-9)
    assert found["ssim_aligned"] == pytest.approx(ssim, abs=1e-9)
    assert found["psnr_aligned"] > found["psnr"] + 8
    (plain,) = MEASURES["plain"].function([image], [sharp], PLAIN)
    assert {metric: found[metric] for metric in PLAIN} == plain


def test_an_image_that_cannot_be_aligned_is_only_scaled() -> None:
    sharp = SHARP["cat"]
    flat = np.full_like(sharp, 120)
    error = np.square(np.mean(sharp / 255, dtype=float) - sharp / 255).mean()
    assert aligned(flat, sharp)["psnr_aligned"] == pytest.approx(-10 * np.log10(error), abs=1e-4)
    black = aligned(np.zeros_like(sharp), sharp)
    assert black["psnr_aligned"] == pytest.approx(black["psnr"], abs=1e-4)
    assert aligned(sharp, sharp)["psnr_aligned"] > 60 and aligned(sharp, sharp)["psnr"] == UNCHANGED
