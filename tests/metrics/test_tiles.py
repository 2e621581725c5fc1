import numpy as np
import pytest

from deblurzoo.metrics.tiles import TILE, tile_errors, tile_grid, tile_means


def test_tiles_are_whole_and_their_errors_average_to_that_of_the_image() -> None:
    rng = np.random.default_rng(0)
    image, sharp = rng.integers(0, 256, (2, 2 * TILE, 3 * TILE, 3), dtype=np.uint8)
    errors = tile_errors(image, sharp)
    assert errors.shape == tile_grid(2 * TILE, 3 * TILE) == (2, 3)
    squares = np.square(image.astype(float) - sharp)
    assert errors[1, 2] == pytest.approx(squares[TILE:, 2 * TILE :].mean(), rel=1e-5)
    assert errors.mean() == pytest.approx(squares.mean(), rel=1e-5)
    assert np.array_equal(tile_errors(image[:-1, :-1], sharp[:-1, :-1]), errors[:1, :2])


@pytest.mark.parametrize(("height", "width"), [(63, 63), (64, 127), (130, 195), (127, 300)])
def test_every_fourth_pixel_has_as_many_tiles_as_all(height: int, width: int) -> None:
    lattice = np.ones((height // 4, width // 4))
    assert tile_means(lattice, 4).shape == tile_means(np.ones((height, width))).shape == tile_grid(height, width)
