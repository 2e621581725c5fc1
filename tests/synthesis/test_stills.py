from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data

from deblurzoo.errors import DeblurzooError
from deblurzoo.synthesis.formation import expose
from deblurzoo.synthesis.motion import Trajectory
from deblurzoo.synthesis.scene import Layer
from deblurzoo.synthesis.stills import Shake, expose_photo

PHOTO = skimage.data.coffee()


def frames(seed: int = 0, photo: np.ndarray = PHOTO, **options: float) -> list[np.ndarray]:
    return expose_photo(photo, np.random.default_rng(seed), Shake(**options)).frames(0)  # type: ignore[arg-type]


def detail(image: np.ndarray) -> float:
    return sum(float(np.abs(np.diff(image.astype(float), axis=axis)).mean()) for axis in (0, 1))


def dots(places: list[tuple[int, int]], seed: int, **options: float) -> list[np.ndarray]:
    """Return the motion of white dots on black relative to the middle sub-frame: per dot (S, 2), x and y in pixels."""
    photo = np.zeros((401, 601, 3), np.uint8)
    for place in places:
        cv2.circle(photo, place, 4, (255, 255, 255), -1)
    seen = frames(seed, photo, **options)
    border = (601 - seen[0].shape[1]) // 2
    paths = []
    for x, y in places:
        near = [
            f[max(0, y - border - 30) : y - border + 30, max(0, x - border - 30) : x - border + 30, 0] for f in seen
        ]
        moments = [cv2.moments(part) for part in near]
        path = np.array([[m["m10"] / m["m00"], m["m01"] / m["m00"]] for m in moments])
        paths.append(path - path[len(path) // 2])
    return paths


@pytest.mark.parametrize("objects", [0, 3])
def test_the_middle_sub_frame_is_sharp_and_the_mean_blurred(objects: int) -> None:
    seen = frames(objects=objects, min_length=8)
    middle = seen[len(seen) // 2]
    assert len(seen) % 2 == 1 and all(f.dtype == np.uint8 and f.shape == middle.shape for f in seen)
    assert detail(middle) > 0.95 * detail(PHOTO)
    assert detail(expose(seen)) < 0.8 * detail(middle)


def test_the_sharp_picture_is_a_part_of_the_photograph_to_the_bit() -> None:
    for seed in range(5):
        seen = frames(seed)
        middle = seen[len(seen) // 2]
        top, left = (PHOTO.shape[0] - middle.shape[0]) // 2, (PHOTO.shape[1] - middle.shape[1]) // 2
        assert np.array_equal(middle, PHOTO[top : top + middle.shape[0], left : left + middle.shape[1]])
        assert 0 < left == top < 30


def test_without_motion_all_is_the_photograph() -> None:
    for frame in frames(min_length=0, max_length=0):
        assert np.array_equal(frame, PHOTO)


def test_same_seed_same_bytes() -> None:
    first, again, other = (np.stack(frames(seed, objects=2)[:3]) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_nothing_from_outside_the_photograph_is_seen() -> None:
    framed = np.full((200, 300, 3), 255, np.uint8)
    framed[3:-3, 3:-3] = 0  # reflection would double the width of the white border
    for seed in range(5):
        seen = frames(seed, framed, min_length=15, roll=1)
        widths = [np.count_nonzero(f[f.shape[0] // 2, : f.shape[1] // 2, 0] > 128) for f in seen]
        assert max(widths) <= 3


def test_rotation_and_zoom_move_a_corner_more_than_the_centre() -> None:
    longer = []
    for seed in range(8):
        centre, corner = (
            np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
            for path in dots([(300, 200), (60, 60)], seed, min_length=6, max_length=6, roll=2)
        )
        assert centre == pytest.approx(6, rel=0.2)
        longer.append(corner / centre)
    assert np.mean(longer) > 1.15
    centre, corner = dots([(300, 200), (60, 60)], 0, min_length=6, max_length=6, roll=0)
    assert np.abs(centre - corner).max() < 0.2  # without rotation and zoom, all points move alike


def test_blur_lengths_are_those_of_the_paths() -> None:
    photo = np.zeros((401, 601, 3), np.uint8)
    for seed in range(3):
        drawn = expose_photo(photo, np.random.default_rng(seed), Shake(12, 12, roll=0))
        steps = np.linalg.norm(np.diff(drawn.layers[0].trajectory.shift, axis=0), axis=1)
        lengths = drawn.tile_lengths(0)
        assert lengths.shape == tuple(extent // 64 for extent in drawn.size)
        assert lengths == pytest.approx(steps.sum(), rel=1e-4) and steps.sum() == pytest.approx(12, rel=0.25)
        rolled = expose_photo(photo, np.random.default_rng(seed), Shake(12, 12, roll=1)).tile_lengths(0)
        assert rolled.max() > 1.1 * rolled.min()


def test_a_tile_with_an_object_has_the_blur_length_of_the_object() -> None:
    still = expose_photo(np.zeros((200, 300, 3), np.uint8), np.random.default_rng(0), Shake(0, 0, roll=0))
    shift = np.stack([np.linspace(-5, 5, still.steps), np.zeros(still.steps)], axis=1)
    moving = Trajectory(shift, np.zeros(still.steps), np.ones(still.steps))
    patch = np.dstack([np.full((64, 64, 3), 200.0), np.ones((64, 64))]).astype(np.float32)
    at_the_top_left = Layer(patch, moving, np.array([299 / 2, 199 / 2]), cv2.BORDER_CONSTANT)
    lengths = replace(still, layers=[*still.layers, at_the_top_left]).tile_lengths(0)
    assert lengths[0, 0] == pytest.approx(10, abs=0.5) and np.count_nonzero(lengths) == 1


@pytest.mark.parametrize("length", [4, 12])
def test_steps_are_about_a_pixel_and_the_path_has_its_length(length: int) -> None:
    for seed in range(3):
        steps = np.linalg.norm(
            np.diff(dots([(300, 200)], seed, min_length=length, max_length=length)[0], axis=0), axis=1
        )
        assert steps.max() < 1.2
        assert steps.sum() == pytest.approx(length, rel=0.25)


def test_most_paths_are_nearly_straight() -> None:
    """During an exposure of GOPRO's clip GOPR0477_11_00, the chord of the motion is 0.98 of its length (median)."""
    straight = []
    for seed in range(12):
        (path,) = dots([(300, 200)], seed, min_length=12, max_length=12)
        straight.append(np.linalg.norm(path[-1] - path[0]) / np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    assert np.median(straight) > 0.95 and min(straight) < 0.95


def test_an_object_moves_on_its_own() -> None:
    flat = np.full((401, 601, 3), (40, 120, 200), np.uint8)  # only objects differ: permuted colours
    apart = []
    for seed in range(8):
        options = {"min_length": 12, "max_length": 12, "roll": 0}
        ends = [np.abs(f.astype(int) - flat[0, 0]).max(axis=2) / 160 for f in frames(seed, flat, objects=1, **options)]
        if ends[0].any() and not any(f[[0, -1]].any() or f[:, [0, -1]].any() for f in ends):  # object inside the image
            first, last = (np.array(np.nonzero(f > 0.1))[::-1].mean(axis=1) for f in (ends[0], ends[-1]))
            camera = dots([(300, 200)], seed, **options)[0]
            apart.append(np.linalg.norm((last - first) - (camera[-1] - camera[0])))
    assert len(apart) >= 2 and min(apart) > 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_length": 5, "max_length": 4}, "min_length=5 and max_length=4 must"),
        ({"max_length": float("nan")}, "max_length=nan must"),
        ({"min_length": -1}, "min_length=-1"),
        ({"roll": -0.1}, "roll=-0.1 must"),
        ({"objects": -1}, "objects=-1 must"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(DeblurzooError, match=message):
        Shake(**wrong)  # type: ignore[arg-type]


def test_photographs_that_are_too_small_are_refused() -> None:
    with pytest.raises(DeblurzooError, match=r"30x20 pixels is too small for camera paths of \d+ pixels: give"):
        frames(0, PHOTO[:20, :30], min_length=40, max_length=40)
