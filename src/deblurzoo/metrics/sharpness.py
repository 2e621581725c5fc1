"""Sharpness of an image without a reference."""

import cv2

from deblurzoo.media import Image


def image_sharpness(image: Image, sharp: Image) -> float:
    """Return the variance of the Laplacian of a uint8 image (H, W, 3) in grayscale, in squared levels.

    The Laplacian is the sum of the four neighbours minus four times the pixel, with reflected borders. `sharp` is
    ignored. Reference: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    deviation = cv2.meanStdDev(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F))[1]
    return float(deviation.item() ** 2)
