"""Overlapping tiles of large images, and their blending."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from deblurzoo.media import Floats

Restore = Callable[[slice, slice], Floats]

MARGIN = 64
"""Width in pixels of the border that is discarded at each inner edge of a tile, where the network lacks context."""
RAMP = 64
"""Width in pixels of the zone in which neighbouring tiles are blended."""
OVERLAP = 2 * MARGIN + RAMP
"""Overlap of neighbouring tiles in pixels; a multiple of each network's `size_multiple`."""
LEAST = 2 * OVERLAP
"""Minimum side of a tile in pixels, unless the image is smaller."""


class Grid(NamedTuple):
    """Rows and columns of tiles, in pixels."""

    rows: list[slice]
    columns: list[slice]

    @property
    def total(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)


def grid_for(height: int, width: int, pixels: float, multiple: int) -> Grid:
    """Return tiles that cover an image. A tile has at most `pixels` pixels, unless its minimum side requires more.

    If one tile suffices, the result is the whole image. Tiles start at multiples of `multiple`, so that strided
    convolutions sample the same pixels as in the whole image. All tiles of an image have about the same size.
    """
    if _up(height, multiple) * _up(width, multiple) <= pixels:
        return Grid([slice(0, height)], [slice(0, width)])
    side = max(int(math.sqrt(pixels)), LEAST)
    shorter = min(_up(min(height, width), multiple), side)
    longer = max(int(pixels / shorter), LEAST)
    tall, wide = (shorter, longer) if height <= width else (longer, shorter)
    return Grid(_cut(height, tall, multiple), _cut(width, wide, multiple))


def _up(size: int, multiple: int) -> int:
    return math.ceil(size / multiple) * multiple


def _cut(size: int, tile: int, multiple: int) -> list[slice]:
    if _up(size, multiple) <= tile:
        return [slice(0, size)]
    tile = tile // multiple * multiple
    count = math.ceil((size - OVERLAP) / (tile - OVERLAP))
    tile = max(_up(math.ceil((size - OVERLAP) / count) + OVERLAP, multiple), LEAST)
    starts = range(0, size - OVERLAP, tile - OVERLAP)
    return [slice(start, min(start + tile, size)) for start in starts]


def blended(grid: Grid, restore: Restore) -> Iterator[tuple[slice, Floats]]:
    """Yield the restored image in strips from top to bottom: the rows as a slice, and the pixels (h, W, 3) in float32.

    Only one row of tiles is in memory at a time, because the memory may be too small for the whole result in float32.
    """
    width = grid.columns[-1].stop
    below = np.zeros((0, width, 3), np.float32)  # contribution of the tiles above to the overlap
    for rows in grid.rows:
        strip = np.zeros((rows.stop - rows.start, width, 3), np.float32)
        for columns in grid.columns:
            strip[:, columns] += restore(rows, columns) * _weights(columns, width)[:, None]
        strip *= _weights(rows, grid.rows[-1].stop)[:, None, None]
        strip[: len(below)] += below
        finished = len(strip) if rows is grid.rows[-1] else len(strip) - OVERLAP
        yield slice(rows.start, rows.start + finished), strip[:finished]
        below = strip[finished:].copy()


def _weights(tile: slice, size: int) -> Floats:
    """Return the blending weights of a tile along one axis; the weights of all tiles add up to 1."""
    weights = np.ones(tile.stop - tile.start, np.float32)
    fade = np.clip((np.arange(OVERLAP, dtype=np.float32) + 0.5 - MARGIN) / RAMP, 0, 1)
    if tile.start > 0:
        weights[:OVERLAP] = fade
    if tile.stop < size:
        weights[-OVERLAP:] = 1 - fade
    return weights
