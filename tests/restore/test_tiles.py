from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deblurzoo.nets import SVRNN
from deblurzoo.restore import restorer as restorer_module
from deblurzoo.restore.restorer import Restorer
from deblurzoo.restore.tiles import LEAST, OVERLAP, Grid, blended, grid_for


@pytest.mark.parametrize(("height", "width"), [(385, 2000), (2000, 385), (1031, 977), (500, 17), (4000, 6000)])
@pytest.mark.parametrize("pixels", [1, LEAST**2, 500 * 700, 10**6])
@pytest.mark.parametrize("multiple", [8, 64])
def test_tiles_cover_a_picture_and_add_up_to_one(height: int, width: int, pixels: int, multiple: int) -> None:
    grid = grid_for(height, width, pixels, multiple)
    for size, tiles in ((height, grid.rows), (width, grid.columns)):
        assert tiles[0].start == 0 and tiles[-1].stop == size
        assert all(tile.start % multiple == 0 for tile in tiles)
        assert all(a.stop - b.start == OVERLAP for a, b in pairwise(tiles))
    largest = max((r.stop - r.start) * (c.stop - c.start) for r in grid.rows for c in grid.columns)
    assert largest <= max(pixels, LEAST**2)
    value = np.float32(0.7)
    parts = list(blended(grid, lambda r, c: np.full((r.stop - r.start, c.stop - c.start, 3), value)))
    assert [rows.start for rows, _ in parts] == [0, *(rows.stop for rows, _ in parts[:-1])]
    whole = np.concatenate([part for _, part in parts])
    assert whole.shape == (height, width, 3)
    np.testing.assert_allclose(whole, value, rtol=1e-6)


def test_a_picture_that_fits_is_one_tile() -> None:
    assert grid_for(700, 900, 704 * 960, 64) == Grid([slice(0, 700)], [slice(0, 900)])
    assert grid_for(700, 900, 704 * 960 - 1, 64).total > 1


def random(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((height, width, 3), dtype=np.float32)


def test_tiles_equal_the_whole_picture_where_the_network_sees_no_farther(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = SVRNN(variant="no_rnns", width=0.25)
    restorer, picture = Restorer(net, device="cpu"), random(450, 611)
    whole = restorer(picture)
    grid = grid_for(450, 611, 1, 8)
    assert grid.total == 6
    monkeypatch.setattr(restorer_module, "grid_for", lambda *_: grid)
    np.testing.assert_allclose(restorer(picture), whole, atol=2e-6)
