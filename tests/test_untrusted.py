"""Untrusted files: any content leads to a message, and no code is run."""

import ast
import functools
import io
import json
import os
import secrets
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

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
from PIL import Image

from commands.wandb_server import serving
from conftest import TINY, Run
from deblurzoo.commands import deblur, export, train
from deblurzoo.commands.hydra_app import as_dicts
from deblurzoo.config import build, rebuild
from deblurzoo.data import Source, Toy
from deblurzoo.data.packing import pack
from deblurzoo.data.packs import Index
from deblurzoo.errors import DeblurzooError
from deblurzoo.export import export as export_to
from deblurzoo.files import conf_dir
from deblurzoo.media.images import Zipped, read_image
from deblurzoo.media.kinds import kind_of
from deblurzoo.media.photos import read_photo
from deblurzoo.media.video import inspect_video, read_video
from deblurzoo.records import load_record
from deblurzoo.reports.gather import gather
from deblurzoo.reports.page import Evaluation, Network, write_page
from deblurzoo.reports.run_folder import config_of, identity_of, name_of, problem
from deblurzoo.reports.table import as_csv, as_markdown, print_table
from deblurzoo.reports.wandb import fetch_runs
from deblurzoo.restore.tracks import target_of
from deblurzoo.restore.video import inspect, restore_video
from deblurzoo.synthesis import pairs
from deblurzoo.training.checkpoints import load_any, load_net, read_checkpoint, read_export
from deblurzoo.training.srn import SRNDeblur
from reports.pages import evaluation
from verbs import SERVER
from videos import moving, write_video

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
Damage = Callable[[bytes], bytes]
FUZZ = settings(
    max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Draw a function that corrupts a file: truncates it, or overwrites a part of it."""
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


@pytest.mark.parametrize("read", [read_image, read_photo])
def test_a_picture_that_claims_billions_of_pixels_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_head(65535, 65535))
    with pytest.raises(DeblurzooError, match=r"bomb\.png cannot be read"):
        read(bomb)


@pytest.mark.parametrize("read", [read_image, read_photo])
def test_a_small_file_that_claims_many_pixels_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gif"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(bomb)
    content = bomb.read_bytes()
    bomb.write_bytes(content.replace(struct.pack("<HH", 8, 8), struct.pack("<HH", 30_000, 30_000)))
    with pytest.raises(DeblurzooError, match=r"bomb\.gif cannot be read .*more pixels than its data hold"):
        read(bomb)


def test_a_picture_in_an_archive_that_claims_billions_of_pixels_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("bomb.png", png_head(65535, 65535))
    with pytest.raises(DeblurzooError, match=r"bomb\.png cannot be read \(its header declares more pixels"):
        Zipped(tmp_path / "a.zip", "bomb.png").read()


def checkpoint(**net: object) -> dict[str, Any]:
    """Return the content of a checkpoint of a small network."""
    module = SRNDeblur({"kernel_size": 3, "blocks": 1, "width": 0.125}, {"lr": 1e-4}, {"steps": 1, "power": 1})
    return {
        "deblurzoo": {"module": "SRNDeblur", "run_id": "0", "blur_folder": "blur"},
        "global_step": 1,
        "state_dict": module.state_dict(),
        "hyper_parameters": {**module.hparams, "net": {**module.hparams["net"], **net}},
        **{"optimizer_states": [], "lr_schedulers": []},
    }


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Path]:
    """Path that the hostile files of a test would create; the test fails if it exists afterwards."""
    file = tmp_path / "owned"
    (tmp_path / "hubconf.py").write_text(f"open({str(file)!r}, 'w')\n\ndef net(): pass\n")
    yield file
    assert not file.exists(), "a file has run code"


HOSTILE: dict[str, dict[str, Any]] = {
    "torch.utils.collect_env.run": {"command": "touch OWNED"},
    "torch.hub.load": {"repo_or_dir": "FOLDER", "model": "net", "source": "local"},
    "builtins.exec": {"_args_": ["open('OWNED', 'w')"]},
    "os.system": {"command": "touch OWNED"},
    "subprocess.run": {"args": ["touch", "OWNED"]},
    "deblurzoo.files.os.system": {"command": "touch OWNED"},
    "deblurzoo.files.write_atomically": {"_args_": ["OWNED", ""]},
    "deblurzoo.files.Path.touch": {"self": "OWNED"},
    "deblurzoo.data.gopro.Path": {"_args_": ["OWNED"]},
    "deblurzoo.data.Toy.__init__": {"self": {}, "root": None, "blur": "blur"},
    "deblurzoo.data.Source": {},
    "deblurzoo.training.srn.SRNDeblur": {"net": {}, "optimizer": {}, "schedule": {}},
    "deblurzoo.config.build": {"cfg": {"_target_": "os.system", "command": "touch OWNED"}},
    "deblurzoo.cli.main": {},
    "pytorch_lightning.Trainer": {},
    "deblurzoo..data.Toy": {"root": None, "blur": "blur"},
    "": {},
}
"""Callables that a file may name, with arguments that create the file OWNED if called."""
PLACES: dict[str, Callable[[Any], Any]] = {
    "top": lambda hostile: hostile,
    "part": lambda hostile: {"_target_": "deblurzoo.data.Joined", "gopro": hostile, "dvd": hostile},
    "argument": lambda hostile: {"_target_": "deblurzoo.data.Toy", "root": hostile, "blur": "blur"},
    "deep": lambda hostile: {"_target_": "deblurzoo.data.Folder", "train": {"blur": [[hostile]]}, "test": {}},
}
"""Configs of a data set with a hostile value in different places."""


def as_a_file_says(target: str, owned: Path) -> dict[str, Any]:
    """Return a config from `HOSTILE` with paths filled in."""
    arguments = json.dumps(HOSTILE[target]).replace("OWNED", str(owned)).replace("FOLDER", str(owned.parent))
    return {"_target_": target, **json.loads(arguments)}


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest, owned: Path) -> dict[str, Any]:
    """Each config from `HOSTILE`."""
    return as_a_file_says(request.param, owned)


def run_cell(notebook: str, **given: Any) -> dict[str, Any]:
    """Run the imports of a notebook and its assignments of `config` and `source`; return its variables."""
    script = ast.parse((NOTEBOOKS / f"{notebook}.py").read_text())
    wanted = [
        node
        for node in script.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("config", "source"))
    ]
    exec(compile(ast.Module(wanted, []), notebook, "exec"), given)
    return given


def with_data(data: Any, run: Path) -> Path:
    """Write a data set's config into `config.yaml` and `results.json` of an evaluated run; return `results.json`."""
    (file,) = run.glob("evaluate/*/results.json")
    results = json.loads(file.read_text())
    results["config"] |= {"data": data, "tags": [], "group": None}
    (run / "config.yaml").write_text(json.dumps(results["config"]))  # JSON is valid YAML
    file.write_text(json.dumps(results))
    return file


@pytest.mark.parametrize("place", PLACES)
def test_runs_and_results_call_nothing(place: str, hostile: dict[str, Any], tmp_path: Path) -> None:
    run = evaluation(tmp_path, "svrnn").folder.parents[1]
    file = with_data(PLACES[place](hostile), run)
    files, failed = gather([run])
    assert list(files) == [file] and not failed
    print_table(list(files.values()))
    with pytest.raises(DeblurzooError, match=r"results\.json cannot be used \(.*\): use a file written by deblurzoo"):
        run_cell("compare_ablations", best=Network(Evaluation.of(file, files[file]), "a", 1))
    with pytest.raises(DeblurzooError, match=r"config\.yaml cannot be used \(.*\): use a file written by deblurzoo"):
        run_cell("look_inside_svrnn", RUN=run)


def fetch(variables: dict[str, str], out: Path) -> None:
    """Fetch the runs of a W&B project, in a separate process because W&B's service delays the exit of its client."""
    os.environ.update(variables)
    fetch_runs("team/project", out)
    os._exit(0)


def test_what_wandb_has_calls_nothing(owned: Path, tmp_path: Path) -> None:
    runs = {}
    for number, target in enumerate(HOSTILE):
        theirs = evaluation(tmp_path / "theirs" / str(number), "svrnn").folder.parents[1]
        with_data(PLACES["part"](as_a_file_says(target, owned)), theirs)
        runs[f"run{number}"] = ("finished", theirs)
    with serving(runs) as variables:
        fetching = SERVER.Process(target=fetch, args=(variables, tmp_path / "fetched"))
        fetching.start()
        fetching.join()
    assert fetching.exitcode == 0
    files, failed = gather([tmp_path / "fetched"])
    assert len(files) == len(HOSTILE) and not failed
    for file, results in files.items():
        with pytest.raises(DeblurzooError, match=r"results\.json cannot be used"):
            run_cell("compare_ablations", best=Network(Evaluation.of(file, results), "a", 1))
        with pytest.raises(DeblurzooError, match=r"config\.yaml cannot be used"):
            run_cell("look_inside_svrnn", RUN=file.parents[2])


def test_a_data_set_in_a_data_set_is_built_and_nothing_resolved(tmp_path: Path) -> None:
    gopro = {"_target_": "deblurzoo.data.Toy", "root": "${oc.env:HOME}", "blur": "blur"}
    dvd = {"_target_": "deblurzoo.data.dvd.Dvd", "root": None, "protocol": "flow"}
    run = evaluation(tmp_path, "svrnn").folder.parents[1]
    with_data({"_target_": "deblurzoo.data.Joined", "gopro": gopro, "dvd": dvd}, run)
    source = run_cell("look_inside_svrnn", RUN=run)["source"]
    assert [type(part).__name__ for part in source.parts] == ["Toy", "Dvd"]
    assert source.parts[0].root == Path("${oc.env:HOME}")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"common_frames": "2"}, "common_frames=2 is invalid for Toy"),
        ({"nonsense": 1}, "nonsense is not an argument of Toy, which has root"),
        ({"_partial_": True}, "data._partial_ is not an argument of Toy"),
        ({"blur": None}, "blur=null is invalid for"),
    ],
)
def test_arguments_out_of_a_file_are_checked(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    run = evaluation(tmp_path, "svrnn").folder.parents[1]
    with_data({"_target_": "deblurzoo.data.Toy", "root": None, "blur": "blur", **change}, run)
    with pytest.raises(DeblurzooError, match=f"config.yaml cannot be used .*{reason}"):
        run_cell("look_inside_svrnn", RUN=run)


@pytest.mark.parametrize("content", [None, [], {"data": None}, {"data": {}}, {"data": {"_target_": ["x"]}}])
def test_a_config_without_a_data_set_is_refused(content: Any) -> None:
    with pytest.raises(DeblurzooError, match=r"a\.yaml cannot be used \(data"):
        rebuild(content, "data", Source, Path("a.yaml"))


def test_build_takes_no_content_of_a_file(hostile: dict[str, Any]) -> None:
    with pytest.raises(DeblurzooError, match=r"^data\._target_="):
        build(hostile, Source, "data")


IN_CHECKPOINT: dict[str, Callable[[Any], dict[str, Any]]] = {
    "top": lambda hostile: hostile,
    "net": lambda hostile: {"net": hostile},
    "deep": lambda hostile: {"optimizer": {"betas": [hostile]}},
    "argument": lambda hostile: {"clip_lstm_norm": hostile},
}


@pytest.mark.parametrize("place", IN_CHECKPOINT)
def test_checkpoints_call_nothing(place: str, hostile: dict[str, Any], tmp_path: Path) -> None:
    content = checkpoint()
    content["hyper_parameters"] = {**content["hyper_parameters"], **IN_CHECKPOINT[place](hostile)}
    path = tmp_path / "step_1.ckpt"
    torch.save(content, path)
    (tmp_path / "photo.png").write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3)))[1].tobytes())
    given = ["--checkpoint", str(path), "--out", str(tmp_path / "out")]
    for verb in (partial(deblur.main, [str(tmp_path / "photo.png"), *given]), partial(export.main, given)):
        with pytest.raises(DeblurzooError, match=r"step_1\.ckpt cannot be used \(hyper_parameters\..* not allowed\)"):
            verb()


def test_evaluating_and_resuming_call_nothing(deblurzoo: Run, owned: Path, toy: Path, tmp_path: Path) -> None:
    content = checkpoint(block={"_target_": "os.system", "command": f"touch {owned}"})
    torch.save(content, tmp_path / "step_1.ckpt")
    for verb in (["evaluate", "checkpoint=step_1.ckpt", "trainer=cpu"], ["train", *TINY, "resume=step_1.ckpt"]):
        done = deblurzoo(*verb, "data=toy", f"data.root={toy}")
        message = "error: step_1.ckpt cannot be used (hyper_parameters.net.block._target_=os.system is not allowed)"
        assert done.returncode == 1 and message in done.stdout + done.stderr


@pytest.mark.parametrize("place", ["top", "deep"])
def test_exports_call_nothing(place: str, hostile: dict[str, Any], identity: Path, tmp_path: Path) -> None:
    export_to(identity, tmp_path / "exported", onnx=False)
    file = tmp_path / "exported" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, **hostile} if place == "top" else {**config, "block": [hostile]}))
    with pytest.raises(DeblurzooError, match=r"config\.json cannot be used \(config\..* not allowed\)"):
        load_any(file.parent)


@pytest.fixture(scope="module")
def packed(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of the toy data; read-only, tests copy its index."""
    folder = tmp_path_factory.mktemp("packs") / "packed"
    pack(Toy(str(toy), "blur"), folder)
    return folder


@pytest.mark.parametrize("place", ["index", "clip", "frames", "sizes", "sources", "sha256"])
def test_packs_call_nothing(place: str, hostile: dict[str, Any], packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "index.json"
    index = json.loads((packed / "index.json").read_text())
    clip = index["clips"][0]
    if place in ("frames", "sizes"):
        clip[place][0] = hostile
    else:
        where = {"index": index, "clip": clip, "sources": clip["sources"], "sha256": clip["sha256"]}[place]
        where.update(hostile if place in ("index", "clip") else {"blur": hostile})
    file.write_text(json.dumps(index))
    with pytest.raises(DeblurzooError, match=r"index\.json is not a pack index \(.*\): pack again"):
        Toy(None, "blur", packed=str(file.parent)).samples("train", frames=1)


@pytest.mark.parametrize("key", ["run_id", "blur_folder"])
def test_what_a_checkpoint_puts_into_a_config_is_not_resolved(key: str, tmp_path: Path) -> None:
    content = checkpoint()
    torch.save({**content, "deblurzoo": {**content["deblurzoo"], key: "${oc.env:HOME}"}}, tmp_path / "step_1.ckpt")
    with pytest.raises(DeblurzooError, match="is not a checkpoint of deblurzoo"):
        read_checkpoint(tmp_path / "step_1.ckpt")


@pytest.mark.parametrize("threads", [0, -1, True, "2", 1.5, None])
def test_a_number_of_threads_that_torch_refuses_is_not_loaded(threads: Any, tmp_path: Path) -> None:
    content = checkpoint()
    torch.save({**content, "deblurzoo": {**content["deblurzoo"], "threads": threads}}, tmp_path / "step_1.ckpt")
    with pytest.raises(DeblurzooError, match="is not a checkpoint of deblurzoo"):
        read_checkpoint(tmp_path / "step_1.ckpt")


def test_what_runs_and_exports_put_into_a_config_is_not_resolved(identity: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"id": "${oc.env:HOME}", "name": "a"}))
    with pytest.raises(DeblurzooError, match=r"run\.json cannot be used \(id=\$"):
        identity_of(tmp_path)
    export_to(identity, tmp_path / "exported", onnx=False)
    file = tmp_path / "exported" / "config.json"
    file.write_text(file.read_text().replace('"blur"', '"${oc.env:HOME}"'))
    with pytest.raises(DeblurzooError, match=r"config\.json cannot be used \(deblurzoo\.blur_folder=\$"):
        load_any(file.parent)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@FUZZ
@given(damage=damages())
def test_damaged_pictures_are_read_or_refused(suffix: str, damage: Damage, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(damage(cv2.imencode(suffix, noise)[1].tobytes()))
    for read in (read_image, read_photo):
        try:
            read(path)
        except DeblurzooError as error:
            assert str(path) in str(error)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Short videos by name."""
    folder = tmp_path_factory.mktemp("films")
    names = ("film.mp4", "film.mkv", "film.avi", "film.flv", "film.ts")
    return {name: write_video(folder / name, moving(6), fps=30).read_bytes() for name in names}


HEADS = (
    b"stts",
    b"ctts",
    b"stsd",
    b"stsz",
    b"stco",
    b"elst",
    b"mdhd",
    b"tkhd",
    b"avcC",
    b"avih",
    b"strh",
    b"\x16\x54\xae\x6b",
)
"""Boxes, chunks and elements that hold time stamps, sizes, places and codecs."""


@st.composite
def damaged_films(draw: st.DrawFn, films: dict[str, bytes]) -> tuple[str, bytes]:
    """Draw a video that is truncated, or has other bytes anywhere or in its headers and tables."""
    name = draw(st.sampled_from(sorted(films)))
    content = films[name]
    if draw(st.integers(0, 3)) == 0:
        return name, content[: draw(st.integers(0, len(content)))]
    for _ in range(draw(st.integers(1, 3))):
        found = content.find(draw(st.sampled_from(HEADS)))
        place = found + draw(st.integers(4, 40)) if found >= 0 else draw(st.integers(0, len(content)))
        new = draw(
            st.sampled_from([b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4), bytes(8)]) | st.binary(min_size=1, max_size=8)
        )
        content = content[:place] + new + content[place + len(new) :]
    return name, content


class Copy:
    """A restorer that returns its input."""

    def stream(self, frames: Iterator[Any], extra: int) -> Iterator[Any]:
        return frames


@FUZZ
@given(data=st.data())
def test_damaged_videos_are_read_or_refused(data: st.DataObject, films: dict[str, bytes], tmp_path: Path) -> None:
    name, content = data.draw(damaged_films(films))
    path, target = tmp_path / name, tmp_path / "out" / name
    path.write_bytes(content)
    kind_of(path)
    for use in (
        lambda: [inspect_video(path), *(frame() for frame in read_video(path))],
        lambda: restore_video(inspect(path), target_of(target), Copy(), lambda: None),  # type: ignore[arg-type]
    ):
        try:
            use()
        except DeblurzooError as error:
            assert str(path) in str(error) and not target_of(target).exists()
    target_of(target).unlink(missing_ok=True)
    assert not target.parent.exists() or not list(target.parent.iterdir())


@FUZZ
@given(data=st.data())
def test_damaged_exports_are_read_or_refused(data: st.DataObject, exported: bytes, tmp_path: Path) -> None:
    folder, file = tmp_path / "exported", tmp_path / "exported" / "model.safetensors"
    with ZipFile(io.BytesIO(exported)) as archive:
        archive.extractall(folder)
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if data.draw(st.booleans()):
        head = json.dumps(changed(data.draw, json.loads(content[8 : 8 + length]))).encode()
        content = len(head).to_bytes(8, "little") + head + content[8 + length :]
    else:
        content = data.draw(damages())(content)
    file.write_bytes(content)
    try:
        load_any(folder)
    except DeblurzooError as error:
        assert "model.safetensors" in str(error)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An export as a zip archive."""
    folder = tmp_path_factory.mktemp("export")
    torch.save(checkpoint(), folder / "step_1.ckpt")
    export_to(folder / "step_1.ckpt", folder / "exported", onnx=False)
    return Path(shutil.make_archive(str(folder / "archive"), "zip", folder / "exported")).read_bytes()


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
    """Return a copy of nested dicts and lists with one drawn value, at any depth, replaced or removed."""
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
        load_net(read_checkpoint(path), path)


SMALL = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text("a.:/[", max_size=4)
ODD = SMALL | st.lists(SMALL, max_size=2) | st.dictionaries(st.text(max_size=4), SMALL, max_size=2)


def values_of(config: Any, *place: str) -> Iterator[tuple[str, ...]]:
    """Yield the key paths of all values in a config, including nested dicts."""
    for key, value in config.items() if isinstance(config, dict) else ():
        yield (*place, key)
        yield from values_of(value, *place, key)


@pytest.mark.processes
@settings(FUZZ, max_examples=25)
@given(data=st.data())
def test_configs_with_anything_in_them_train_or_are_refused(data: st.DataObject, toy: Path, tmp_path: Path) -> None:
    short = ["datamodule.workers=0", "trainer.max_steps=1", f"data.root={toy}"]
    overrides = [*TINY, *short, f"hydra.runtime.output_dir={tmp_path}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        HydraConfig.instance().set_config(compose("train", overrides, return_hydra_config=True))
        config = as_dicts(compose("train", overrides))
    *place, key = data.draw(st.sampled_from(sorted(set(values_of(config)) - {("run",), ("paths",)})))
    functools.reduce(dict.__getitem__, place, config)[key] = data.draw(ODD)
    with suppress(DeblurzooError, OmegaConfBaseException):  # the exceptions that are reported in one message
        train.fit(OmegaConf.create(config), tmp_path / secrets.token_hex(8))


@FUZZ
@given(content=VALUES)
def test_any_content_of_a_runs_files_is_read_or_refused(content: object, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text(json.dumps(content))
    problem(tmp_path)
    name_of(tmp_path)
    gather([tmp_path])
    with suppress(DeblurzooError):
        config_of(tmp_path, "")
    with suppress(DeblurzooError):
        load_record(tmp_path / pairs.FILE, pairs.Synthesis, "")
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
    write_page(evaluations, failed, evaluated / "page.html", inline_pictures=False)


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
    assert not found and f"images.0.clip={clip}: Value error, {clip!r} leads out of the folder" in failed[0][1]
