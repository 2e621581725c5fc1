"""Checkpoints, configs and results with any content: they are used or lead to a message."""

import functools
import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conftest import TINY
from deblurzoo.commands import train
from deblurzoo.commands.hydra_app import as_dicts
from deblurzoo.data.packs import Index
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import conf_dir
from deblurzoo.records import load_record
from deblurzoo.reports.gather import gather
from deblurzoo.reports.page import Evaluation, write_page
from deblurzoo.reports.run_folder import config_of, name_of, problem
from deblurzoo.reports.table import as_csv, as_markdown, print_table
from deblurzoo.synthesis import pairs
from deblurzoo.training.checkpoints import load_net, read_checkpoint, read_export
from reports.pages import evaluation
from untrusted.content import FUZZ, VALUES, changed, checkpoint

FILES = ("status.json", "run.json", "results.json", "config.json", "index.json", "synthesis.yaml", "config.yaml")


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
