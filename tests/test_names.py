"""File names that are not UTF-8: Linux allows any bytes, and old archives and cameras create such names."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from omegaconf import OmegaConf

from conftest import Run
from deblurzoo.commands import train
from deblurzoo.data import Folder, Toy
from deblurzoo.data.fingerprint import describe
from deblurzoo.data.packing import pack
from deblurzoo.errors import DeblurzooError, escaped, print_escaped
from deblurzoo.export import export
from deblurzoo.export.onnx import largest_difference
from deblurzoo.media.images import read_image
from deblurzoo.reports.run_folder import name_of
from deblurzoo.restore.inputs import RECORD
from deblurzoo.synthesis.extra_blur import ExtraBlur
from deblurzoo.synthesis.pairs import inspect_all
from deblurzoo.training.checkpoints import load_any
from reports.pages import evaluation
from videos import moving, write_video

CAFE = os.fsdecode(b"caf\xe9")
SHOWN = r"caf\xe9"


@pytest.fixture(params=["clip", "picture"])
def odd_toy(request: pytest.FixtureRequest, toy: Path, tmp_path: Path) -> Path:
    """A toy data set in which a clip of each split, or the clip's first image, is named caf\\xe9."""
    root = Path(shutil.copytree(toy, tmp_path / "odd"))
    for split in ("train", "test"):
        clip = min((root / split).iterdir())
        if request.param == "clip":
            clip.rename(clip.with_name(CAFE))
        else:
            for kind in ("blur", "sharp"):
                picture = min((clip / kind).iterdir())
                picture.rename(picture.with_name(f"{CAFE}.png"))
    return root


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_pictures_of_any_name_are_read_alike(suffix: str, tmp_path: Path) -> None:
    usual, odd = tmp_path / f"usual{suffix}", tmp_path / f"{CAFE}{suffix}"
    cv2.imwrite(str(usual), moving(1)[0])
    shutil.copyfile(usual, odd)
    assert np.array_equal(read_image(odd), read_image(usual))


def test_a_damaged_jpeg_of_any_name_is_refused(tmp_path: Path) -> None:
    data = bytearray(cv2.imencode(".jpg", moving(1)[0])[1].tobytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    odd = tmp_path / f"{CAFE}.jpg"
    odd.write_bytes(data)
    with pytest.raises(DeblurzooError, match=r"caf\\xe9\.jpg cannot be read"):
        read_image(odd)


def test_data_check_names_them_escaped(process: Run, odd_toy: Path) -> None:
    done = process("data", "check", "data=toy", f"data.root={odd_toy}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.endswith("is not valid UTF-8: rename it")]
    assert lines and all(line.startswith("name: ") and SHOWN in line for line in lines)
    assert f"error: {len(lines)} problems in toy, listed above" in done.stderr


def test_no_data_set_takes_them_into_its_results(odd_toy: Path) -> None:
    for split in ("train", "test"):
        with pytest.raises(
            DeblurzooError, match=r"caf\\xe9\S* is not UTF-8, which configs, results and loggers require"
        ):
            Toy(str(odd_toy), "blur").samples(split, frames=1)


def test_no_folder_of_pictures_is_called_so_behind_a_link(toy: Path, tmp_path: Path) -> None:
    clip = shutil.copytree(min((toy / "test").iterdir()), tmp_path / CAFE)
    (tmp_path / "link").symlink_to(clip)
    pair = {"blur": str(tmp_path / "link" / "blur"), "sharp": str(tmp_path / "link" / "sharp")}
    with pytest.raises(DeblurzooError, match=r"the name caf\\xe9 is not UTF-8"):
        Folder(train={"blur": None, "sharp": None}, test=pair).samples("test", frames=1)


def test_data_sets_and_runs_are_called_escaped_behind_a_link(toy: Path, tmp_path: Path) -> None:
    shutil.copytree(toy, tmp_path / CAFE)
    (tmp_path / "link").symlink_to(tmp_path / CAFE)
    source = Toy(str(tmp_path / "link"), "blur")
    assert describe(source, "test", source.samples("test", frames=1))["name"] == SHOWN
    assert name_of((tmp_path / "link").resolve()) == SHOWN


def test_none_is_packed(odd_toy: Path, tmp_path: Path) -> None:
    with pytest.raises(DeblurzooError, match=r"caf\\xe9\S* is not UTF-8"):
        pack(Toy(str(odd_toy), "blur"), tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("verb", [["train"], ["evaluate"], ["data", "check"], ["data", "pack"], ["data", "show"]])
def test_verbs_that_write_configs_and_results_take_none(verb: list[str], deblurzoo: Run) -> None:
    done = deblurzoo(*verb, "data=toy", f"data.root={CAFE}")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: the name data.root={SHOWN} is not UTF-8, which configs, results and loggers require: rename it\n"
    )


def test_no_run_lies_in_such_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DeblurzooError, match=r"the name \S+caf\\xe9/runs/run is not UTF-8"):
        train.run(OmegaConf.create({"run": str(tmp_path / CAFE / "runs" / "run")}))


def test_no_checkpoint_of_such_a_name_is_evaluated(deblurzoo: Run, identity: Path, toy: Path) -> None:
    (checkpoint,) = (identity / "checkpoints").iterdir()
    checkpoint.rename(checkpoint.with_name(f"step_{CAFE}.ckpt"))
    done = deblurzoo("evaluate", f"checkpoint={identity}", "data=toy", f"data.root={toy}", "trainer=cpu")
    assert done.returncode == 1 and rf"step_{SHOWN}.ckpt is not UTF-8" in done.stderr
    assert not (identity / "evaluate").exists()


def test_photos_and_videos_are_restored_under_their_names(process: Run, identity: Path, tmp_path: Path) -> None:
    source = tmp_path / CAFE
    source.mkdir()
    for suffix in (".png", ".jpg", ".tif"):
        cv2.imwrite(str(tmp_path / f"p{suffix}"), moving(1)[0])
        (tmp_path / f"p{suffix}").rename(source / f"{CAFE}{suffix}")
    write_video(tmp_path / "v.mp4", moving(3)).rename(source / f"{CAFE}.mp4")
    (source / f"{CAFE}.webp").write_bytes(b"no picture")
    run = identity.rename(source / "run")
    done = process("deblur", source, "--checkpoint", run, "--out", tmp_path / "out" / CAFE, "--compare")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert rf"{SHOWN}.webp cannot be read as an image" in done.stderr
    written = {file.name for file in (tmp_path / "out" / CAFE).iterdir()} - {RECORD}
    expected = {f"{CAFE}{kind}{suffix}" for kind in ("", ".compare") for suffix in (".png", ".jpg", ".tif", ".mp4")}
    assert written == expected
    assert rf"out/{SHOWN}/{SHOWN}.png: 64x48" in done.stdout


def test_exports_lie_in_folders_of_any_name(identity: Path, tmp_path: Path) -> None:
    export(identity, tmp_path / CAFE, onnx=False)
    assert load_any(tmp_path / CAFE).state_dict().keys() == load_any(identity).state_dict().keys()


def test_onnx_files_are_checked_in_folders_of_any_name(identity: Path, tmp_path: Path) -> None:
    axes = onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])
    node = onnx.helper.make_node("Squeeze", ["blur", "axes"], ["image"])
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("blur", [1, 1, 3, "h", "w"]), ("image", [1, 3, "h", "w"]))
    ]
    graph = onnx.helper.make_graph([node], "identity", ends[:1], ends[1:], [axes])
    opset = onnx.helper.make_opsetid("", 17)
    file = tmp_path / CAFE
    file.write_bytes(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())
    assert max(largest_difference(load_any(identity).eval(), file).values()) < 1e-4


def test_runs_are_compared_in_folders_of_any_name(process: Run, tmp_path: Path) -> None:
    folder = tmp_path / CAFE
    evaluation(folder, "svrnn")
    other = folder / "damaged" / "evaluate" / "blur" / "results.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    failed = folder / f"{CAFE}2" / "status.json"
    failed.parent.mkdir()
    failed.write_text(json.dumps({"state": "failed", "reason": "no luck", "host": "here", "process": 1}))
    outputs = ["--html", folder / f"{CAFE}.html", "--csv", folder / "a.csv", "--markdown", folder / "a.md"]
    done = process("compare", folder, *outputs)
    assert done.returncode == 0, done.stderr
    page = (folder / f"{CAFE}.html").read_text()
    markdown = (folder / "a.md").read_text().replace(r"\\", "\\")  # where a backslash is escaped
    for text in (done.stdout, (folder / "a.csv").read_text(), markdown, page.replace("<wbr>", "")):
        assert f"{SHOWN}2" in text and rf"{SHOWN}/damaged" in text and "svrnn" in text
    assert "caf%E9_files/" in page
    assert any((folder / f"{CAFE}_files").glob("*.png"))


def test_no_run_in_such_a_folder_is_sent_to_wandb(deblurzoo: Run, tmp_path: Path) -> None:
    (evaluation(tmp_path / CAFE, "svrnn").folder.parents[1] / "config.yaml").write_text("group: null\ntags: []")
    done = deblurzoo("compare", tmp_path / CAFE, "--to-wandb", "project")
    assert done.returncode == 1 and rf"{SHOWN}/run_30.0 is not UTF-8" in done.stderr


def test_synthesis_names_all_sources_that_it_cannot_name_clips_after(tmp_path: Path) -> None:
    folders = [tmp_path / f"{CAFE}{number}" for number in (1, 2)]
    for folder in folders:
        folder.mkdir()
        cv2.imwrite(str(tmp_path / "p.png"), moving(1)[0])
        (tmp_path / "p.png").rename(folder / "000001.png")
    with pytest.raises(DeblurzooError) as refused:
        inspect_all(folders, photographs=False)
    lines = str(refused.value).split("\n")
    assert len(lines) == 2 and all(rf"{SHOWN}{number} is not UTF-8" in line for number, line in enumerate(lines, 1))


def test_frames_to_synthesize_from_may_be_called_anything(tmp_path: Path) -> None:
    frame = moving(1)[0]
    cv2.imwrite(str(tmp_path / "p.png"), frame[..., ::-1])
    (tmp_path / "clip").mkdir()
    (tmp_path / "p.png").rename(tmp_path / "clip" / f"{CAFE}.png")
    (source,) = inspect_all([tmp_path / "clip"], photographs=False)
    assert np.array_equal(next(source.read())(), frame)


def test_objects_of_extra_blur_may_be_called_anything(tmp_path: Path) -> None:
    cutout = np.full((20, 30, 4), 255, np.uint8)
    cv2.imwrite(str(tmp_path / "p.png"), cutout)
    (tmp_path / "objects").mkdir()
    (tmp_path / "p.png").rename(tmp_path / "objects" / f"{CAFE}.png")
    extra = ExtraBlur(datasets=("dvd",), objects=str(tmp_path / "objects"))
    layers = [extra.draw(np.zeros((128, 128, 3), np.uint8), seed)[1] for seed in range(8)]
    assert any(layer is not None and layer[..., :3].max() > 200 for layer in layers)


def test_a_name_that_acts_upon_a_terminal_is_told_escaped() -> None:
    assert str(DeblurzooError("\x1b[31m\udce9.png\nis wrong")) == "\\x1b[31m\\xe9.png\nis wrong"


def test_what_cannot_be_encoded_is_printed_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, text in (("utf-8", f"{SHOWN} é \\ud800"), ("ascii", rf"{SHOWN} \xe9 \ud800")):
        shown = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding))
        print_escaped()
        print(CAFE, "é", "\ud800", flush=True)
        assert shown.getvalue().decode() == f"{text}\n"
    assert escaped(Path(CAFE)) == SHOWN
