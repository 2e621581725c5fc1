"""Files that name callables or variables: they lead to a message, and no code is run."""

import ast
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from commands.wandb_server import serving
from conftest import TINY, Run
from deblurzoo.commands import deblur, export
from deblurzoo.config import build, rebuild
from deblurzoo.data import Source, Toy
from deblurzoo.data.packing import pack
from deblurzoo.errors import DeblurzooError
from deblurzoo.export import export as export_to
from deblurzoo.reports.gather import gather
from deblurzoo.reports.page import Evaluation, Network
from deblurzoo.reports.run_folder import identity_of
from deblurzoo.reports.table import print_table
from deblurzoo.reports.wandb import fetch_runs
from deblurzoo.training.checkpoints import load_any, read_checkpoint
from reports.pages import evaluation
from untrusted.content import checkpoint
from verbs import SERVER

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


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
