"""Verification of results: changed values, other test images, other weights, untrusted files."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

import cv2
import pytest
import torch

from commands.evaluations import FAST, brighten, on_all_cores, write_folders
from conftest import Run
from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import write_toy
from deblurzoo.training.flow_rnn import FlowRNNDeblur
from verbs import refused

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """A data set of 21 pairs."""
    return write_folders(tmp_path, 21)


@pytest.fixture
def file(deblurzoo: Run, identity: Path, data: list[str]) -> Path:
    """The results of a network on 21 pairs and 3 sharp images."""
    brighten(identity, 2)
    done = deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST, "no_harm=3")
    assert done.returncode == 0, done.stderr
    return identity / "evaluate" / "folder_blurry" / "results.json"


def changed(file: Path, change: Change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_results_of_a_network_are_verified(deblurzoo: Run, file: Path, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.rglob("*"))
    done = deblurzoo("verify", file, "--seed", "1")
    assert done.returncode == 0, done.stderr
    told = "verified: identity on folder: all means; 4 of 21 images and 0 of 3 sharp inputs (seed 1)\n"
    assert told in done.stdout
    done = deblurzoo("verify", file, "--seed", "19")
    assert "all means; 2 of 21 images and 1 of 3 sharp inputs (seed 19)" in done.stdout, done.stderr
    assert "not verified: names of the network and of folders, source, times, version and config of the" in done.stdout
    assert sorted(path for path in tmp_path.rglob("*")) == before
    done = on_all_cores(["verify", str(file)], tmp_path)
    assert done.returncode == 0 and "threads: 1, as recorded" in done.stderr
    done = deblurzoo("verify", file, f"restored={file.parent}/restored", "--seed", "1")
    assert done.returncode == 0 and "all means; 4 of 21 images (seed 1)" in done.stdout, done.stderr
    assert "the network was not run" in done.stdout
    assert "not verified: architecture, parameters, step and initial weights of the network, do no harm" in done.stdout


def test_results_are_verified_elsewhere(deblurzoo: Run, file: Path, identity: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path / "theirs.json")
    (tmp_path / "here").mkdir()
    for name in ("blurry", "sharp", "runs"):
        (tmp_path / name).rename(tmp_path / "here" / f"moved_{name}")
    refused(deblurzoo("verify", "theirs.json"), "does not exist")
    folders = ["data.test.blur=here/moved_blurry", "data.test.sharp=here/moved_sharp"]
    places = [*folders, "checkpoint=here/moved_runs/identity"]
    done = deblurzoo("verify", "theirs.json", *places, "datamodule.workers=0")
    assert done.returncode == 0, done.stderr


def test_restored_images_of_another_program(deblurzoo: Run, data: list[str], tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "blurry", tmp_path / "theirs")
    done = deblurzoo("evaluate", f"restored={tmp_path}/theirs", *data, *FAST, "out=out", "name=theirs")
    assert done.returncode == 0, done.stderr
    done = deblurzoo("verify", "out/results.json", "--seed", "1")
    assert done.returncode == 0 and "verified: theirs on folder: all means; 4 of 21 images (seed 1)" in done.stdout, (
        done.stderr
    )
    whole = (tmp_path / "out" / "results.json").read_text()
    changed(tmp_path / "out" / "results.json", times)
    refused(deblurzoo("verify", "out/results.json"), "times are stored for images that another program restored")
    (tmp_path / "out" / "results.json").write_text(whole)
    shutil.copy(tmp_path / "sharp" / "0004.png", tmp_path / "theirs" / "0004.png")
    refused(deblurzoo("verify", "out/results.json"), "is not verified: checkpoint: ")


@pytest.mark.parametrize(("variant", "frames"), [("full", 10), ("two_directions", 9)])
def test_restored_images_of_a_network_of_several_frames(
    variant: str, frames: int, deblurzoo: Run, tmp_path: Path
) -> None:
    data = write_folders(tmp_path, 11)
    arguments = {"optimizer": {"lr": 1e-3}, "schedule": {"steps": 1, "power": 1}}
    module = FlowRNNDeblur(net={"variant": variant, "width": 0.125}, **arguments)
    facts = {"run_id": "0", "blur_folder": "blur", "module": "FlowRNNDeblur"}
    content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams), "global_step": 0}
    content |= {"deblurzoo": facts, "optimizer_states": [], "lr_schedulers": []}
    torch.save(content, tmp_path / "flow.ckpt")
    done = deblurzoo("evaluate", "checkpoint=flow.ckpt", *data, *FAST, "out=out", "no_harm=1")
    assert done.returncode == 0, done.stderr
    done = deblurzoo("verify", "out/results.json", "restored=out/restored")
    assert done.returncode == 0 and f" of {frames} images (seed" in done.stdout, done.stderr


def digit(content: dict[str, Any]) -> None:
    content["images"][3]["restored"]["psnr"] += 1e-12


def every_digit(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image["restored"]["psnr"] += 1
    content["restored"]["psnr"] = content["restored"]["psnr"] + 1
    content["gain_db"] = content["restored"]["psnr"] - content["blurry"]["psnr"]


def mean(content: dict[str, Any]) -> None:
    content["restored"]["ssim"] += 1e-15


def recompute(content: dict[str, Any]) -> None:
    """Replace all means and counts by the values that follow from the images."""
    images = content["images"]
    content["frames"] = len(images)
    for kind in ("restored", "blurry", "sharp"):
        for name in content[kind]:
            values = [image[kind][name] for image in images if name in image.get(kind, {})]
            content[kind][name] = fmean(values)
    content["gain_db"] = content["restored"]["psnr"] - content["blurry"]["psnr"]
    content["ms_per_image"] = median(image["ms"] for image in images)
    sharp = [row["psnr"] for row in content["do_no_harm"]]
    content["do_no_harm_psnr"] = fmean(sharp) if sharp else None


def fewer(content: dict[str, Any]) -> None:
    del content["images"][:5]
    recompute(content)


def repeated(content: dict[str, Any]) -> None:
    content["images"] += 50 * [max(content["images"], key=lambda image: image["restored"]["psnr"])]
    recompute(content)


def left_out(content: dict[str, Any]) -> None:
    image = content["images"].pop(3)
    content["nothing_to_restore"].append(f"{image['clip']}/{image['frame']}")
    recompute(content)


def times(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image["ms"] = 1.0
    recompute(content)


def harmless(content: dict[str, Any]) -> None:
    other = next(image for image in content["images"] if image["frame"] not in str(content["do_no_harm"]))
    content["do_no_harm"].append({"clip": other["clip"], "frame": other["frame"], "psnr": 100.0})
    recompute(content)


def harmless_twice(content: dict[str, Any]) -> None:
    content["do_no_harm"] += 2 * [{**content["do_no_harm"][0], "psnr": 100.0}]
    recompute(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (digit, "is not verified: restored, gain_db does not follow from the values per image"),
        (mean, "is not verified: restored does not follow from the values per image"),
        (every_digit, "4 of 4 images differ (seed 7): "),
        (fewer, "frames: 5 are only in the file, or only in the data set"),
        (repeated, "is not verified: several values are stored for "),
        (left_out, "/0003: no values are stored, but its blurry and sharp image differ"),
        (harmless, "sharp input: 1 are only in the file, or only in the data set"),
        (harmless_twice, "is not verified: several values are stored for "),
        (lambda content: content.update(dataset="gopro"), "dataset: gopro stored, folder found"),
        (lambda content: content.update(independent=True), "independent: true stored, false found"),
        (lambda content: content.update(metric_versions={"psnr": "best"}), "metric_versions: {'psnr': 'best'} stored"),
        (lambda content: content["checkpoint"].update(sha256="0"), "is not verified: checkpoint: "),
        (lambda content: content["checkpoint"].update(step=9), "checkpoint: step 9 stored, 0 found"),
        (lambda content: content["network"].update(parameters=9), "network: SRN of 9 parameters stored, SRN of"),
        (
            lambda content: content.update(rounding="uint8, floor"),
            "is not verified: rounding: uint8, floor stored",
        ),
        (lambda content: content["data"].update(fingerprint=""), "has no fingerprint of its test images"),
    ],
)
def test_changed_results_are_not_verified(change: Change, message: str, deblurzoo: Run, file: Path) -> None:
    changed(file, change)
    refused(deblurzoo("verify", file, "--seed", "7", "trainer.accelerator=cpu"), message)


@pytest.fixture
def clip(deblurzoo: Run, identity: Path, tmp_path: Path) -> Path:
    """The results of a network on a clip of five frames, with sharpness and warping error, and two sharp images."""
    write_toy(tmp_path / "data" / "toy", ToyOptions(train_clips=1, test_clips=1, frames=5, height=96, width=128))
    brighten(identity, 2)
    done = deblurzoo("evaluate", f"checkpoint={identity}", "data=toy", *FAST, "no_harm=2", "metrics=[sharpness]")
    assert done.returncode == 0, done.stderr
    return identity / "evaluate" / "toy_blur" / "results.json"


def seed_of(index: int) -> int:
    """Return a seed with which the only image to be measured of five images and two sharp ones is that of an index."""
    return next(seed for seed in range(1000) if random.Random(seed).sample(range(7), 1) == [index])


@pytest.mark.parametrize(
    ("index", "counts"),
    [
        (0, "1 of 5 images and 0 of 2 sharp inputs"),
        (2, "2 of 5 images and 0 of 2 sharp inputs"),  # and the previous frame, for the warping error
        (5, "0 of 5 images and 1 of 2 sharp inputs"),
    ],
)
def test_a_clip_is_verified_by_any_of_its_images(index: int, counts: str, deblurzoo: Run, clip: Path) -> None:
    done = deblurzoo("verify", clip, "--seed", seed_of(index))
    assert done.returncode == 0 and counts in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["warping", "sharpness"])
@pytest.mark.parametrize("kind", ["restored", "blurry", "sharp"])
def test_a_changed_value_of_any_kind_is_found(kind: str, name: str, deblurzoo: Run, clip: Path) -> None:
    images = json.loads(clip.read_text())["images"]
    index = next(index for index, image in enumerate(images) if "warping" in image["restored"])  # not the first frame

    def change(content: dict[str, Any]) -> None:
        content["images"][index][kind][name] -= 1
        recompute(content)

    changed(clip, change)
    place = f"TOY_test_000/{images[index]['frame']}: {name} of the {kind} image "
    message = f"1 of 2 images differ (seed {seed_of(index)}): {place}"
    refused(deblurzoo("verify", clip, "--seed", seed_of(index)), message)


def test_other_test_images_and_weights(deblurzoo: Run, file: Path, identity: Path, tmp_path: Path) -> None:
    image = tmp_path / "sharp" / "0000.png"
    picture, whole = cv2.imread(str(image)), image.read_bytes()
    picture[0, 0, 0] ^= 1
    cv2.imwrite(str(image), picture)
    refused(deblurzoo("verify", file), "is not verified: data: ")
    image.write_bytes(whole)
    brighten(identity, 1)
    refused(deblurzoo("verify", file), "is not verified: checkpoint: ")


def test_an_untrusted_file_runs_no_code(deblurzoo: Run, file: Path, tmp_path: Path) -> None:
    package = tmp_path / "evil.py"
    package.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for key in ("data", "datamodule", "trainer"):
        content = file.read_text()
        changed(file, lambda content, key=key: content["config"][key].update(_target_="evil.Evil"))
        done = deblurzoo("verify", file, PYTHONPATH=str(tmp_path))
        if key != "trainer":  # its class is not read
            refused(done, "evil, which is not trusted and could run any code")
        file.write_text(content)
    assert not (tmp_path / "ran").exists()
    for config in ({"data": {}}, {"trainer": {"precision": "none"}}, {"data": {"_target_": "deblurzoo.data.Folder"}},
                   {"datamodule": {"_target_": "deblurzoo.data.datamodule.DeblurDataModule"}}):  # fmt: skip
        content = file.read_text()
        changed(file, lambda content, config=config: content["config"].update(config))
        done = deblurzoo("verify", file)
        assert done.returncode == 1 and done.stderr.startswith("error: "), done.stderr
        file.write_text(content)


def test_wrong_arguments(deblurzoo: Run, file: Path, tmp_path: Path) -> None:
    refused(deblurzoo("verify", "nothing.json"), "nothing.json cannot be used")
    for override in ("data.rot=x", "data", "data._target_=x", "checkpoint.x=1", "nothing=1"):
        refused(
            deblurzoo("verify", file, override), "is not a key of the evaluation: give for example data.root=FOLDER"
        )
    for folder in ("[a", "@b", "%c", "a #1", "2024-13-45", "2024-01-02", "a: b: c"):  # not YAML, or other values
        refused(deblurzoo("verify", file, f"data.test.blur={folder}"), f"data.test.blur={folder} is not a folder")
    refused(deblurzoo("verify", file, "data.test.blur=d\udcff"), r"d\xff is not UTF-8")
    done = deblurzoo("verify")
    assert done.returncode == 2 and "RESULTS" in done.stderr
