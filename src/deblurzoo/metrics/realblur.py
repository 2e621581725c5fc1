"""The measure of RealBlur: PSNR and SSIM after alignment of brightness and viewpoint.

Reference: Rim et al., "Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms", ECCV 2020, and its
code, `evaluation_RealBlur_ecc.py` of github.com/rimchang/RealBlur, which MPRNet and Restormer also use.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.media import Floats, Image
from deblurzoo.metrics.psnr_ssim import decibels, ssim_map

_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
"""100 iterations: the threshold 0 never ends the search."""
_IDENTITY = np.eye(3, dtype=np.float32)


def aligned_metrics(image: Image, sharp: Image) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of an aligned uint8 image (H, W, 3) over the pixels that the sharp image shares.

    The image is multiplied by the gain with the least squared error, and warped by the homography of the largest
    enhanced correlation coefficient (ECC). If the search for it fails, as for a uniform image, or no pixel is shared,
    the image is not warped. PSNR is capped as in `decibels`. SSIM is averaged over the shared pixels of each channel,
    then over the channels.
    """
    restored, truth, mask = _aligned(_unit(image), _unit(sharp))
    error = np.sum((truth - restored) ** 2, dtype=np.float64) / np.sum(mask, dtype=np.float64)
    values = ssim_map(_centred(restored), _centred(truth))[5:-5, 5:-5]
    inside = mask[5:-5, 5:-5]
    ssim = (values * inside).sum(axis=(0, 1)) / inside.sum(axis=(0, 1), dtype=np.float64)
    return decibels(255**2 * float(error)), float(ssim.mean())


def image_psnr_aligned(image: Image, sharp: Image) -> float:
    """Return the PSNR in dB of `aligned_metrics`."""
    return aligned_metrics(image, sharp)[0]


def image_ssim_aligned(image: Image, sharp: Image) -> float:
    """Return the SSIM of `aligned_metrics`."""
    return aligned_metrics(image, sharp)[1]


def _unit(image: Image) -> Floats:
    return image.astype(np.float32) / np.float32(255)


def _centred(image: Floats) -> NDArray[np.float64]:
    """Return an image of `ssim_map` in float64, as in the version of scikit-image that the authors require, 0.17."""
    return 255 * image.astype(np.float64) - 128


def _aligned(image: Floats, sharp: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the aligned image, the sharp image and the mask of shared pixels; both images are 0 outside of the mask.

    As in the original code, sums, gain and warp are float32.
    """
    energy = np.sum(image * image)
    scaled = np.sum(sharp * image) / energy * image if energy else image
    for warp in (_homography(scaled, sharp), _IDENTITY):
        mask = _warped(np.ones_like(scaled), warp, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
        if mask[5:-5, 5:-5].any():
            break
    return _warped(scaled, warp, cv2.INTER_CUBIC, cv2.BORDER_REFLECT) * mask, sharp * mask, mask


def _homography(image: Floats, sharp: Floats) -> Floats:
    """Return the homography (3, 3) from pixels of `sharp` to pixels of `image`; the identity if the search fails."""
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (sharp, image)]
    start = _IDENTITY.copy()  # OpenCV modifies it
    try:
        # OpenCV's type stubs require a mask.
        _, warp = cv2.findTransformECC(*grey, start, cv2.MOTION_HOMOGRAPHY, _CRITERIA, None, 5)  # type: ignore[call-overload]
    except cv2.error:
        return _IDENTITY
    return np.asarray(warp, np.float32)


def _warped(plane: Floats, warp: Floats, interpolation: int, border: int) -> Floats:
    size = plane.shape[1], plane.shape[0]
    flags = interpolation + cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(plane, warp, size, flags=flags, borderMode=border), np.float32)
