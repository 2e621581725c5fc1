"""Shapes of tensors in untrusted files."""

from collections.abc import Sequence
from math import prod

MOST_AXES = 32
"""Largest number of axes in Caffe and in MATLAB files that SciPy reads. The networks' tensors have four."""


def count_of(shape: Sequence[int]) -> int:
    """Return the number of values of a tensor with this shape.

    Raises:
        ValueError: it has too many axes. Multiplying thousands of sizes would take seconds to hours.
    """
    if len(shape) > MOST_AXES:
        raise ValueError(f"a shape has {len(shape):,} axes, and more than {MOST_AXES} are not supported")
    return prod(shape)
