"""Pictures and videos in files; which data set they belong to is not known here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Pixels (H, W, 3), red, green, blue, from 0 to 255."""
Pixels = NDArray[Any]
"""Pixels (H, W, C) of 8 or 16 bit, or floating in [0, 1]."""
Floats = NDArray[np.float32]
"""Values of pixels that something is computed of."""
