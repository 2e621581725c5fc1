"""Large pictures in overlapping tiles that blend into each other."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from deblurzoo.media import Floats

Restore = Callable[[slice, slice], Floats]

MARGIN = 64
"""Pixels at an inner edge of a tile that are thrown away: there the network lacks what it would have seen."""
RAMP = 64
"""Pixels over which one tile fades into the next."""
OVERLAP = 2 * MARGIN + RAMP
"""What neighbouring tiles share; a multiple of every network's `size_multiple`."""
LEAST = 2 * OVERLAP
"""The shortest side of a tile of a picture that is larger."""


class Grid(NamedTuple):
    """Where the tiles are, in pixels."""

    rows: list[slice]
    columns: list[slice]

    @property
    def total(self) -> int:
        """How many tiles there are."""
        return len(self.rows) * len(self.columns)


def grid_for(height: int, width: int, pixels: float, multiple: int) -> Grid:
    """Return tiles of at most `pixels` each, or of the least size, that cover a picture; one where it fits.

    Every tile starts at a multiple of `multiple`, so that strides fall on the same pixels as in the whole picture, and
    tiles of one picture are about equal.
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
    """Restore tile by tile and yield finished rows of the picture from top to bottom, (h, W, 3) float32.

    No more than one row of tiles is held: the result of a picture that does not fit need not fit either.
    """
    width = grid.columns[-1].stop
    below = np.zeros((0, width, 3), np.float32)  # what the tiles above leave to those below
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
    """Return how much of the result along one side comes from this tile; all tiles add up to 1."""
    weights = np.ones(tile.stop - tile.start, np.float32)
    fade = np.clip((np.arange(OVERLAP, dtype=np.float32) + 0.5 - MARGIN) / RAMP, 0, 1)
    if tile.start > 0:
        weights[:OVERLAP] = fade
    if tile.stop < size:
        weights[-OVERLAP:] = 1 - fade
    return weights
