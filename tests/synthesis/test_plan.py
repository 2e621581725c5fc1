from pathlib import Path

import pytest

from deblurzoo.errors import DeblurzooError
from deblurzoo.synthesis.plan import Cut, Pair, plan
from deblurzoo.synthesis.sources import SharpInput


def video(frames: int, name: str = "v.mp4") -> SharpInput:
    return SharpInput(name, "video", frames, "64x48", 240.0)


def spans(pairs: list[Pair], split: str) -> list[tuple[int, int]]:
    return [(pair.span.start, pair.span.stop) for pair in pairs if pair.clip.parts[0] == split]


def test_windows_follow_each_other_and_clips_count_from_1() -> None:
    (pairs,) = plan([video(299)], Cut(test_share=0, clip_length=20))
    assert [pair.span for pair in pairs] == [range(11 * i, 11 * i + 11) for i in range(27)]
    assert [pair.number for pair in pairs] == [*range(1, 21), *range(1, 8)]
    assert [pair.clip.name for pair in pairs] == ["v_11_00"] * 20 + ["v_11_01"] * 7


def test_windows_may_overlap_within_a_clip_but_clips_share_no_frame() -> None:
    (pairs,) = plan([video(20)], Cut(frames=(5, 5), stride=2, test_share=0, clip_length=3))
    assert spans(pairs, "train") == [(0, 5), (2, 7), (4, 9), (9, 14), (11, 16), (13, 18)]


def test_the_number_of_frames_is_drawn_per_clip() -> None:
    cut = Cut(frames=(7, 13), clip_length=2, test_share=0, seed=3)
    (pairs,) = plan([video(1000)], cut)
    drawn = {pair.clip: len(pair.span) for pair in pairs}
    assert set(drawn.values()) == {7, 9, 11, 13}
    assert all(len(pair.span) == drawn[pair.clip] for pair in pairs)
    assert all(int(clip.name.split("_")[1]) == frames for clip, frames in drawn.items())
    assert [pairs] == plan([video(1000)], cut)
    (shortest,) = plan([video(8)], cut)  # only 7 fits
    assert [len(pair.span) for pair in shortest] == [7]


def test_splits_by_time_keep_the_gap() -> None:
    (pairs,) = plan([video(100)], Cut(frames=(5, 5), test_share=0.2, gap=3))
    assert spans(pairs, "train") == [(5 * i, 5 * i + 5) for i in range(13)]  # 80 frames minus 3 windows
    assert spans(pairs, "test") == [(80, 85), (85, 90), (90, 95), (95, 100)]
    assert len({pair.clip for pair in pairs}) == 2


@pytest.mark.parametrize(("share", "tests"), [(0.01, 1), (0.4, 2), (0.99, 4), (0, 0), (1, 5)])
def test_the_last_sources_are_for_testing(share: float, tests: int) -> None:
    sources = [video(30, f"{letter}.mp4") for letter in "abcde"]
    planned = plan(sources, Cut(split="source", test_share=share))
    splits = [{pair.clip.parts[0] for pair in pairs} for pairs in planned]
    assert splits == [{"train"}] * (5 - tests) + [{"test"}] * tests


def test_photographs_are_clips_of_their_own() -> None:
    photos = [SharpInput(f"photos/{number}.jpg", "photograph", 1, "64x48", None) for number in range(4)]
    assert plan(photos, Cut(split="source")) == [
        *([Pair(range(1), Path(f"train/{number}"), 1)] for number in range(3)),
        [Pair(range(1), Path("test/3"), 1)],
    ]


def test_clips_of_sources_of_one_name_are_told_apart() -> None:
    sources = [video(11, name) for name in ("x/a.mp4", "y/a.mp4", "b.mp4")]
    clips = [pairs[0].clip.name for pairs in plan(sources, Cut(split="source", test_share=0))]
    assert clips == ["a_11_00", "a-2_11_00", "b_11_00"]


@pytest.mark.parametrize(
    ("sources", "wrong", "message"),
    [
        ([10], {}, r"v\.mp4 has 10 frames, too few for a window of 11"),
        ([60], {"test_share": 0.1, "gap": 0}, "no pair is left for the test split"),
        ([300], {"split": "source"}, "no pair is left for the test split with --split source"),
        ([300], {"test_share": 0.5, "gap": 20}, "no pair is left for the train split"),
        ([300], {"frames": (4, 4)}, "--frames 4-4 must be an odd number"),
        ([300], {"frames": (9, 7)}, "--frames 9-7 must be an odd number"),
        ([300], {"exposures": 2}, r"--exposures 2 requires photos, but v\.mp4 is not a photo"),
        ([300], {"test_share": 1.5}, "--test-share 1.5 must be between 0 and 1"),
    ],
)
def test_what_cannot_be_planned(sources: list[int], wrong: dict[str, object], message: str) -> None:
    with pytest.raises(DeblurzooError, match=message):
        plan([video(frames) for frames in sources], Cut(**wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"clip_length": 0}, {"gap": -1}, {"seed": -1}])
def test_numbers_below_their_bounds_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Input should be greater than"):
        Cut(**wrong)  # type: ignore[arg-type]


def test_long_names_are_shortened_and_stay_different() -> None:
    videos = [video(11, f"{250 * 'v'}.mp4"), video(11, f"{249 * 'v'}w.mp4"), video(11, f"{124 * 'ü'}.mp4")]
    names = [pairs[0].clip.name for pairs in plan(videos, Cut(test_share=0, split="source"))]
    assert len(set(names)) == 3 and all(len(name.encode()) < 215 for name in names)
    assert names[2] == f"{100 * 'ü'}_11_00"
