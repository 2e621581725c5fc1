"""Operators that PyTorch does not provide."""

from deblurzoo.ops.spatial_rnn import spatial_rnn

__all__ = ["spatial_rnn"]
