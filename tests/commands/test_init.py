"""New runs that start from trained weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import TINY, TINY_NETS, TINY_RUN, Run
from deblurzoo.files import sha256
from deblurzoo.training.checkpoints import read_trained
from verbs import refused

FROZEN = ["trainer.max_steps=1", "model.optimizer.lr=0"]
"""One step that changes no weight."""


def averaged(run: Path) -> Path:
    """Return the newest checkpoint of a run, after changing it as if its weights were moving averages."""
    file = max(run.glob("checkpoints/step_*.ckpt"))
    content = torch.load(file, weights_only=True)
    content["current_model_state"] = {name: torch.zeros_like(tensor) for name, tensor in content["state_dict"].items()}
    torch.save(content, file)
    return file


def trained(run: Path) -> dict[str, Any]:
    return read_trained(max(run.glob("checkpoints/step_*.ckpt")))


@pytest.mark.parametrize("form", ["run", "checkpoint", "export"])
def test_a_new_run_starts_from_the_weights_of_a_run_checkpoint_or_export(
    form: str, deblurzoo: Run, run: Path, dvd: Path, tmp_path: Path
) -> None:
    file = averaged(run)
    given = {"run": "runs/run", "checkpoint": f"runs/run/checkpoints/{file.name}", "export": "export"}[form]
    assert deblurzoo("export", "--checkpoint", run, "--out", "export").returncode == 0
    done = deblurzoo("train", *TINY, *FROZEN, "data=dvd", f"data.root={dvd}", "name=tuned", f"init={given}")
    assert done.returncode == 0, done.stderr
    read = "export/model.safetensors" if form == "export" else f"runs/run/checkpoints/{file.name}"
    assert f"initialised from {read}, step 3: 38 of 38 tensors\n" in done.stdout
    ours, theirs = trained(tmp_path / "runs" / "tuned"), trained(run)
    assert ours["global_step"] == 1
    for name, tensor in theirs["state_dict"].items():
        assert torch.equal(tensor, ours["state_dict"][name]), name
    lineage = ours["deblurzoo"]["lineage"]
    assert (lineage["file"], lineage["step"], lineage["sha256"]) == (read, 3, sha256(tmp_path / read))
    assert (lineage["loaded"], lineage["missing"], lineage["unused"]) == (38, [], [])


def test_the_lineage_is_in_config_loggers_export_results_tables_and_page_and_stays_on_resume(
    deblurzoo: Run, run: Path, toy: Path, tmp_path: Path
) -> None:
    tuned = tmp_path / "runs" / "tuned"
    arguments = ["train", *TINY, f"data.root={toy}", "data.blur=blur_gamma", "name=tuned"]
    done = deblurzoo(*arguments, "trainer.max_steps=1", "init=runs/run")
    assert done.returncode == 0, done.stderr
    first = trained(tuned)["deblurzoo"]["lineage"]
    config = yaml.safe_load((tuned / "config.yaml").read_text())
    assert (config["init"], config["lineage"]) == ("runs/run", first)
    assert yaml.safe_load((tuned / "csv" / "version_0" / "hparams.yaml").read_text())["lineage"] == first

    done = deblurzoo(*arguments, "trainer.max_steps=2", "resume=auto")
    assert yaml.safe_load((tuned / "config.yaml").read_text())["init"] == "runs/run"
    assert done.returncode == 0 and "initialised" not in done.stdout, done.stderr
    assert trained(tuned)["global_step"] == 2 and trained(tuned)["deblurzoo"]["lineage"] == first
    assert yaml.safe_load((tuned / "config.yaml").read_text())["lineage"] == first

    assert deblurzoo("export", "--checkpoint", tuned, "--out", "export").returncode == 0
    line = "tuned: initialised from runs/run/checkpoints/step_00000003.ckpt, step 3: 38 of 38 tensors"
    for checkpoint, out in (("runs/tuned", "out"), ("export", "of_export")):
        evaluated = deblurzoo(
            "evaluate", f"checkpoint={checkpoint}", "data=toy", f"data.root={toy}", "trainer=cpu", f"out={out}"
        )
        assert evaluated.returncode == 0 and line.partition(": ")[2] in evaluated.stdout, evaluated.stderr
        assert json.loads((tmp_path / out / "results.json").read_text())["checkpoint"]["lineage"] == first
    compared = deblurzoo("compare", "out/results.json", "--markdown", "table.md", "--html", "page.html")
    assert compared.returncode == 0, compared.stderr
    assert line in compared.stdout and f"- {line}" in (tmp_path / "table.md").read_text()
    assert f"<dt>origin</dt><dd>{line}</dd>" in (tmp_path / "page.html").read_text()

    grandchild = deblurzoo("train", *TINY, *FROZEN, f"data.root={toy}", "name=again", "init=export")
    assert grandchild.returncode == 0, grandchild.stderr
    second = trained(tmp_path / "runs" / "again")["deblurzoo"]["lineage"]
    assert second["step"] == 2 and second["lineage"] == first


def test_another_width_names_the_first_tensor_and_loads_what_fits_on_request(
    deblurzoo: Run, run: Path, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *TINY, *FROZEN, f"data.root={toy}", "name=wide", "init=runs/run", "model.net.width=0.25"]
    done = deblurzoo(*arguments)
    refused(
        done,
        "init=runs/run does not fit SRN: at_scale.0.in_block.0.weight is (4, 6, 3, 3) in the file, (8, 6, 3, 3) in the "
        "network and 36 more",
        "width: 0.125 in the checkpoint, 0.25 in the config",
        "or init_partial=true",
    )
    assert not (tmp_path / "runs" / "wide" / "config.yaml").exists()
    done = deblurzoo(*arguments, "init_partial=true")
    assert done.returncode == 0, done.stderr
    assert "step 3: 1 of 38 tensors; not initialised: at_scale.0.in_block.0.weight, " in done.stdout
    ours, theirs = trained(tmp_path / "runs" / "wide"), trained(run)
    (loaded,) = (
        name for name, tensor in theirs["state_dict"].items() if ours["state_dict"][name].shape == tensor.shape
    )
    assert torch.equal(ours["state_dict"][loaded], theirs["state_dict"][loaded])
    lineage = ours["deblurzoo"]["lineage"]
    assert lineage["loaded"] == 1 and lineage["missing"] == lineage["unused"] and len(lineage["missing"]) == 37


def test_a_network_without_a_fitting_tensor_cannot_be_loaded_in_part(deblurzoo: Run, run: Path, toy: Path) -> None:
    svrnn = ["model=svrnn", *TINY_RUN, *TINY_NETS["svrnn"]]
    done = deblurzoo("train", *svrnn, f"data.root={toy}", "name=other", "init=runs/run", "init_partial=true")
    refused(done, "init=runs/run does not fit SVRNN: ", " is missing in the file, (")
    assert "or init_partial=true" not in done.stderr


def test_initial_weights_replace_the_papers_pretrained_weights(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = ["train", "model=svrnn", *TINY_RUN, *TINY_NETS["svrnn"], *FROZEN, f"data.root={toy}"]
    assert deblurzoo(*arguments, "name=one").returncode == 0
    done = deblurzoo(*arguments, "name=two", "model.vgg16=nowhere.pth", "init=runs/one", "seed=1")
    assert done.returncode == 0, done.stderr
    one, two = (trained(tmp_path / "runs" / name)["state_dict"] for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (['init=""'], "init is empty: set init=RUN_OR_FILE, or omit it"),
        (["name=run", "resume=auto", "init=runs/run"], "init=runs/run has no effect on runs/run, which was started "
         "with init=null: omit init, or set name=OTHER"),
        (["init=nowhere"], "checkpoint nowhere does not exist: give a run folder"),
        (["init_partial=true"], "init_partial=true has no effect without init: set init=RUN_OR_FILE"),
        (["resume=runs/run", "init=runs/run"], "resume=runs/run and init=runs/run exclude each other"),
        (["resume=runs/run", "trainer.max_steps=3"], "is already at step 3: set a larger trainer.max_steps to resume, "
         "or, for a new run from its weights, init=runs/run/checkpoints/step_00000003.ckpt in place of resume"),
        (["resume=runs/run", "data.blur=blur_gamma"], "or start a new run from its weights: "
         "init=runs/run/checkpoints/step_00000003.ckpt name=OTHER in place of resume"),
        (["init=runs/run", "init_partial=perhaps"], "init_partial=perhaps: Input should be a valid boolean"),
    ],
)  # fmt: skip
def test_wrong_starts_are_one_message(
    overrides: list[str], message: str, deblurzoo: Run, run: Path, toy: Path, tmp_path: Path
) -> None:
    refused(deblurzoo("train", *TINY, f"data.root={toy}", "name=new", *overrides), message)
    assert not (tmp_path / "runs" / "new" / "config.yaml").exists()


@pytest.mark.parametrize("lineage", [{"file": "a"}, "a", {"file": "\ud800", "step": 1}, {"lineage": {"step": -1}}])
def test_a_checkpoint_with_another_shape_of_lineage_is_not_used(
    lineage: object, deblurzoo: Run, run: Path, toy: Path
) -> None:
    file = max(run.glob("checkpoints/step_*.ckpt"))
    content = torch.load(file, weights_only=True)
    content["deblurzoo"]["lineage"] = lineage
    torch.save(content, file)
    done = deblurzoo("train", *TINY, f"data.root={toy}", "name=new", f"init={file}")
    refused(done, "is not a checkpoint of deblurzoo")
