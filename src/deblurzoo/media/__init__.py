"""Image and video files, independent of data sets."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB pixels (H, W, 3), from 0 to 255."""
Pixels = NDArray[Any]
"""Pixels (H, W, C): 8-bit, 16-bit, or float in [0, 1]."""
Floats = NDArray[np.float32]
"""Pixel values for computation."""
