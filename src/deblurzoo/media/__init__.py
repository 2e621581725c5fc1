"""Pictures and videos in files; which data set they belong to is not known here."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Pixels (H, W, 3), red, green, blue, from 0 to 255."""
