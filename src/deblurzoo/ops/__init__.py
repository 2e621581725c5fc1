"""Operators that torch does not have."""

from deblurzoo.ops.spatial_rnn import spatial_rnn

__all__ = ["spatial_rnn"]
