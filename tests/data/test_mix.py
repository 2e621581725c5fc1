"""Mixtures: several data sets, drawn by weight."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from conftest import Run
from deblurzoo.config import build
from deblurzoo.data import Dvd, Folder, Joined, Toy
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.data.sampling import Mixture
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError
from verbs import refused


@pytest.fixture
def mixed(toy: Path, dvd: Path) -> Joined:
    """Six toy samples and three DVD samples, of which 20 % are from DVD."""
    return Joined(weights={"dvd": 1, "toy": 4}, toy=Toy(str(toy), "blur"), dvd=Dvd(str(dvd), "all"))


def datamodule(source: Joined, **options: int) -> DeblurDataModule:
    return DeblurDataModule(
        source, 1, **{"seed": 0, "batch_size": 2, **options}, augmentation=Augmentation(crop=16, flip=True)
    )


def test_every_block_has_the_shares_and_every_part_its_samples_in_order() -> None:
    mixture = Mixture(0, {"a": 0.65, "b": 0.35})
    drawn = [mixture[number] for number in range(3000)]
    for start in range(0, 3000, 1000):
        assert Counter(part for part, _ in drawn[start : start + 1000]) == {"a": 650, "b": 350}
    for part in "ab":
        own = [number for name, number in drawn if name == part]
        assert own == list(range(len(own)))
    runs = {tuple(part for part, _ in drawn[start : start + 16]) for start in range(0, 3000, 16)}
    assert len(runs) > 150, "the order is random"


def test_a_mixture_needs_no_history() -> None:
    weights = {"a": 1.0, "b": 1.0, "c": 1.0}
    mixture = Mixture(3, weights)
    drawn = [mixture[number] for number in range(2500)]
    assert [Mixture(3, weights)[number] for number in (2400, 7, 999, 1000)] == [
        drawn[number] for number in (2400, 7, 999, 1000)
    ]
    assert [Mixture(4, weights)[number] for number in range(100)] != drawn[:100]


def test_samples_are_drawn_by_weight_and_each_once_in_a_pass_over_its_data_set(mixed: Joined) -> None:
    crops = datamodule(mixed).training_crops()
    drawn = [crops[number] for number in range(1000)]
    names = [f"{sample.clip}/{sample.frame}" for sample in drawn]
    assert Counter(name.partition("_")[0] for name in names) == {"toy": 800, "dvd": 200}
    for key, size in (("toy", 6), ("dvd", 3)):
        own = [name for name in names if name.startswith(key)]
        assert all(len(set(own[start : start + size])) == size for start in range(0, 60, size))
    again = datamodule(mixed).training_crops()
    for number in (900, 3, 41):
        assert torch.equal(again[number].blur, drawn[number].blur)
    other = datamodule(mixed, seed=1).training_crops()
    assert [other[number].clip for number in range(50)] != [sample.clip for sample in drawn[:50]]


def test_the_order_of_the_weights_changes_nothing(toy: Path, dvd: Path) -> None:
    def clips(weights: dict[str, float]) -> list[object]:
        joined = Joined(weights=weights, toy=Toy(str(toy), "blur"), dvd=Dvd(str(dvd), "all"))
        return [datamodule(joined).training_crops()[number].clip for number in range(50)]

    assert clips({"toy": 2, "dvd": 1}) == clips({"dvd": 0.5, "toy": 1})


def test_a_data_set_without_weight_is_left_out_unless_it_is_for_testing(toy: Path, dvd: Path) -> None:
    def joined(**options: object) -> Joined:
        return Joined(toy=Toy(str(toy), "blur"), dvd=Dvd(str(dvd), "all"), none=Toy(None, "blur"), **options)  # type: ignore[arg-type]

    def clips(source: Joined, split: str) -> set[str]:
        return {sample.clip for sample in source.samples(split, 1)}

    both = joined(weights={"toy": 1, "dvd": 2, "none": 0})
    assert clips(both, "test") == {"toy_TOY_test_000", "dvd_IMG_0003"}
    assert both.name == "toy_dvd" and len(both.parts) == 2
    alone = joined(weights={"toy": 1}, test="dvd")
    assert clips(alone, "train") == {"toy_TOY_train_000", "toy_TOY_train_001"}
    assert clips(alone, "test") == {"dvd_IMG_0003"} and alone.protocol == "all"
    assert list(alone.official["test"])[:1] == ["dvd_720p_240fps_2"] and "dvd_720p_240fps_2" in alone.incomplete_clips(
        "test"
    )


def test_a_data_set_without_test_split_is_not_tested_on(toy: Path, dvd: Path) -> None:
    clip = toy / "train" / "TOY_train_000"
    pairs: dict[str, str | None] = {kind: str(clip / kind) for kind in ("blur", "sharp")}
    folder = Folder(pairs, {"blur": None, "sharp": None})
    both = Joined(weights={"folder": 1, "dvd": 1}, folder=folder, dvd=Dvd(str(dvd), "all"))
    assert {sample.clip for sample in both.samples("test", 1)} == {"dvd_IMG_0003"}
    with pytest.raises(DeblurzooError, match="no data set has a test split"):
        Joined(weights={"folder": 1}, folder=folder).samples("test", 1)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"toys": 1}, r"data\.weights: there is no data set toys: choose from toy, dvd"),
        ({"toy": -1}, r"data\.weights\.toy=-1 is invalid for Joined: Input should be greater than or equal to 0"),
        ({"toy": float("inf")}, r"data\.weights\.toy=inf is invalid for Joined"),
        ({"toy": "much"}, r"data\.weights\.toy=much is invalid for Joined"),
        ({"toy": 0, "dvd": 0}, r"has no positive weight"),
        ({}, r"has no positive weight"),
        ({"toy": 1, "dvd": 0.0001}, r"data\.weights\.dvd=0\.0001 is less than one in 1000 samples"),
    ],
)
def test_wrong_weights_are_one_message(weights: dict[str, object], message: str, toy: Path, dvd: Path) -> None:
    parts = {
        "toy": {"_target_": "deblurzoo.data.Toy", "root": str(toy), "blur": "blur"},
        "dvd": {"_target_": "deblurzoo.data.Dvd", "root": str(dvd), "protocol": "all"},
    }
    config = {"_target_": "deblurzoo.data.Joined", "weights": weights, **parts}
    with pytest.raises(DeblurzooError, match=message):
        datamodule(build(config, Joined, "data")).training_crops()


def test_a_mixture_is_packed_and_read_without_its_images(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    weights = "data.weights={toy: 1, folder: 2}"
    folders = [
        f"data.folder.{split}.{kind}={toy}/{split}/TOY_{split}_000/{kind}"
        for split in ("train", "test")
        for kind in ("blur", "sharp")
    ]
    done = deblurzoo("data", "pack", "data=mix", weights, f"data.toy.root={toy}", *folders, "out=packed")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in sorted((tmp_path / "packed").iterdir()) if path.is_dir()] == ["folder", "toy"]
    source = Joined(
        weights={"toy": 1, "folder": 2},
        packed=str(tmp_path / "packed"),
        toy=Toy(None, "blur"),
        folder=Folder({"blur": None, "sharp": None}, {"blur": None, "sharp": None}),
        dvd=Dvd(None, "all"),
    )
    assert {sample.clip.partition("_")[0] for sample in source.samples("test", 1)} == {"toy", "folder"}
    assert datamodule(source).training_crops()[0].sharp.shape == (3, 16, 16)


MIX = ["train", "data=mix", "blur=blur", "trainer=cpu", "logger=csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "data.weights is not set: give the weight of each data set, for example 'data.weights={photos: 0.65"),
        (["data.weights={gopro: 1}"], "data.gopro.root is not set: set data.gopro.root=FOLDER"),
        (["data.weights={folder: 1}"], "data.folder.train.blur is not set: set it to a folder of blur images"),
        (["data.weights={toy: 1}", "data.test=kohler"], "data.test: there is no data set kohler: choose from gopro"),
    ],
)
def test_what_a_mixture_lacks_is_named(arguments: list[str], message: str, deblurzoo: Run) -> None:
    refused(deblurzoo(*MIX, *arguments), message)
