"""Files of strangers: whatever is in them, a message and no harm."""

import functools
import json
import secrets
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conftest import TINY
from deblurzoo import train
from deblurzoo.compare import as_csv, as_markdown, gather, print_table
from deblurzoo.data.images import Zipped, read_image
from deblurzoo.data.packed import Index
from deblurzoo.entry import build, plain
from deblurzoo.errors import DeblurzooError
from deblurzoo.modules.exports import read_export
from deblurzoo.modules.loading import load_module, read_checkpoint
from deblurzoo.modules.srn import SRNDeblur
from deblurzoo.page import Evaluation, Failure, write_page
from deblurzoo.paths import conf_dir
from deblurzoo.records import Identity, RunConfig, Synthesis, load_record
from deblurzoo.restore.pictures import read_picture
from deblurzoo.status import name_of, problem
from test_page import evaluation

Damage = Callable[[bytes], bytes]
FUZZ = settings(
    max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Draw a way to damage a file: cut it, or overwrite a part of it."""
    place, length = draw(st.floats(0, 1)), draw(st.integers(1, 64))
    noise = draw(st.binary(min_size=length, max_size=length))

    def damage(content: bytes) -> bytes:
        start = int(place * len(content))
        return content[:start] if noise[0] % 2 else content[:start] + noise + content[start + length :]

    return damage


def png_head(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("read", [read_image, read_picture])
def test_a_picture_that_claims_billions_of_pixels_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_head(65535, 65535))
    with pytest.raises(DeblurzooError, match=r"bomb\.png cannot be read"):
        read(bomb)


def test_a_picture_in_an_archive_that_claims_billions_of_pixels_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("bomb.png", png_head(65535, 65535))
    with pytest.raises(DeblurzooError, match=r"bomb\.png cannot be read \(not a picture, or too large\)"):
        read_image(Zipped(tmp_path / "a.zip", "bomb.png"))


@pytest.mark.parametrize("target", ["os.system", "subprocess.run", "builtins.exec"])
def test_a_config_out_of_a_file_calls_nothing_but_what_is_known(target: str, tmp_path: Path) -> None:
    config = {"_target_": "deblurzoo.data.Folder", "test": {"blur": [{"_target_": target, "command": "touch bomb"}]}}
    with pytest.raises(DeblurzooError, match=f"_target_={target} is of none of deblurzoo, torch"):
        build(config)


def checkpoint(**net: object) -> dict[str, object]:
    """What training writes of a small network."""
    module = SRNDeblur({"kernel_size": 3, "blocks": 1, "width": 0.125}, {"lr": 1e-4}, {"steps": 1, "power": 1})
    return {
        "deblurzoo": {"module": "SRNDeblur", "run_id": "0", "blur_folder": "blur"},
        "global_step": 1,
        "state_dict": module.state_dict(),
        "hyper_parameters": {**module.hparams, "net": {**module.hparams["net"], **net}},
        **{"optimizer_states": [], "lr_schedulers": []},
    }


def test_a_target_in_a_checkpoint_is_not_called(tmp_path: Path) -> None:
    path = tmp_path / "step_1.ckpt"
    torch.save(checkpoint(_target_="os.system", command="touch bomb"), path)
    with pytest.raises(DeblurzooError, match="does not fit SRNDeblur"):
        load_module(read_checkpoint(path), path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@FUZZ
@given(damage=damages())
def test_damaged_pictures_are_read_or_refused(suffix: str, damage: Damage, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(damage(cv2.imencode(suffix, noise)[1].tobytes()))
    for read in (read_image, read_picture):
        try:
            read(path)
        except DeblurzooError as error:
            assert str(path) in str(error)


@FUZZ
@given(damage=damages())
def test_damaged_checkpoints_are_read_or_refused(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / "step_1.ckpt"
    torch.save({"deblurzoo": {"module": "SRNDeblur"}, "state_dict": {"weight": torch.zeros(9)}}, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DeblurzooError):
        read_checkpoint(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
FILES = ("status.json", "run.json", "results.json", "config.json", "index.json", "synthesis.yaml", "config.yaml")


def changed(draw: st.DrawFn, content: Any) -> Any:
    """Return nested dicts and lists with one value, drawn at any depth, replaced by another one or left out."""
    keys = (
        list(content) if isinstance(content, dict) else list(range(len(content))) if isinstance(content, list) else []
    )
    if not keys or draw(st.integers(0, 4)) == 0:
        return draw(VALUES)
    key = draw(st.sampled_from(keys))
    copy = content.copy()
    if draw(st.integers(0, 4)) == 0:
        del copy[key]
    else:
        copy[key] = changed(draw, content[key])
    return copy


@FUZZ
@given(data=st.data())
def test_checkpoints_with_anything_in_them_are_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "step_1.ckpt"
    torch.save(changed(data.draw, checkpoint()), path)
    with suppress(DeblurzooError):
        load_module(read_checkpoint(path), path)


SMALL = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text("a.:/[", max_size=4)
ODD = SMALL | st.lists(SMALL, max_size=2) | st.dictionaries(st.text(max_size=4), SMALL, max_size=2)


def values_of(config: Any, *place: str) -> Iterator[tuple[str, ...]]:
    """Yield where the values of a config stand, whole parts of it among them."""
    for key, value in config.items() if isinstance(config, dict) else ():
        yield (*place, key)
        yield from values_of(value, *place, key)


@settings(FUZZ, max_examples=25)
@given(data=st.data())
def test_configs_with_anything_in_them_train_or_are_refused(data: st.DataObject, toy: Path, tmp_path: Path) -> None:
    short = ["loader.workers=0", "trainer.max_steps=1", f"data.root={toy}"]
    overrides = [*TINY, *short, f"hydra.runtime.output_dir={tmp_path}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        HydraConfig.instance().set_config(compose("train", overrides, return_hydra_config=True))
        config = plain(compose("train", overrides))
    *place, key = data.draw(st.sampled_from(sorted(set(values_of(config)) - {("run",), ("paths",)})))
    functools.reduce(dict.__getitem__, place, config)[key] = data.draw(ODD)
    with suppress(DeblurzooError, OmegaConfBaseException):  # each of which is told in one message
        train.fit(OmegaConf.create(config), tmp_path / secrets.token_hex(8))


@FUZZ
@given(content=VALUES)
def test_any_content_of_a_runs_files_is_read_or_refused(content: object, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text(json.dumps(content))
    problem(tmp_path)
    name_of(tmp_path)
    gather([tmp_path])
    for file, shape in (("run.json", Identity), ("config.yaml", RunConfig), ("synthesis.yaml", Synthesis)):
        with suppress(DeblurzooError):
            load_record(tmp_path / file, shape, "")
    for read in (lambda: read_export(tmp_path / "model.safetensors"), lambda: Index.read(tmp_path / "index.json")):
        with pytest.raises(DeblurzooError):
            read()


@FUZZ
@given(data=st.data())
def test_results_are_drawn_or_refused_whatever_is_in_them(data: st.DataObject, evaluated: Path) -> None:
    file = next(evaluated.glob("*/evaluate/*/results.json"))
    other = file.with_name("other") / "results.json"
    other.parent.mkdir(exist_ok=True)
    other.write_text(json.dumps(changed(data.draw, json.loads(file.read_text()))))
    files, failed = gather([evaluated])
    assert file.resolve() in files
    print_table(list(files.values()), failed)
    as_markdown(list(files.values()), failed)
    as_csv(list(files.values()), failed)
    evaluations = [Evaluation.of(*item) for item in files.items()]
    write_page(evaluations, [Failure(*failure) for failure in failed], evaluated / "page.html", inline_pictures=False)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    evaluation(folder, "svrnn")
    return folder


@pytest.mark.parametrize("text", ["[/b]", "a [sweep] b", "\ud800", "|*`<b>"])
def test_texts_of_results_are_shown_as_they_are_or_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = evaluation(tmp_path, "svrnn").folder / "results.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "name": text}))
    files, failed = gather([tmp_path])
    print_table(list(files.values()), failed)
    shown = "".join(capsys.readouterr().out.split("\n"))
    assert text in shown if files else "surrogates not allowed" in shown


@pytest.mark.parametrize("clip", ["../../elsewhere", "/etc", "a/.."])
def test_pictures_outside_an_evaluation_are_not_taken(clip: str, tmp_path: Path) -> None:
    file = evaluation(tmp_path, "svrnn").folder / "results.json"
    results = json.loads(file.read_text())
    results["images"][0]["clip"] = clip
    file.write_text(json.dumps(results))
    found, failed = gather([tmp_path])
    assert not found and f"images.0.clip: Value error, {clip!r} leads elsewhere" in failed[0][1]
