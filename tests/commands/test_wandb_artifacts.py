"""Artifacts: data, checkpoints and results of a run in W&B; checkpoints that are read from W&B."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from commands.test_wandb import records, summary
from commands.wandb_server import serving
from conftest import TINY, Run
from deblurzoo.errors import DeblurzooError
from deblurzoo.reports.artifacts import fetch
from verbs import refused

ARTIFACT = "wandb:team/project/model-run:latest"


def test_a_run_is_grouped_by_names_and_leads_from_data_to_results(process: Run, toy: Path, tmp_path: Path) -> None:
    done = process(
        "train", *TINY, f"data.root={toy}", "name=run", "logger=wandb", "logger.wandb.log_model=all", "callbacks=ema",
        "recipe=srn", "trainer.max_steps=2", "callbacks.checkpoints.every=1", "evaluate_at_end=true",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("runs/run/wandb/offline-run-*")
    recorded = records(folder)
    (config,) = (record["config"]["update"] for record in recorded if record["type"] == "config")
    names = {"variant": "srn", "network": "srn", "data": "toy", "blur": "blur", "recipe": "srn"}
    assert {key: config[key] for key in names} == names
    assert config["data_set"]["root"] == str(toy) and config["model"]["net"]["width"] == 0.125

    logged = [record["artifact"] for record in recorded if record["type"] == "artifact"]
    run = folder.name[-8:]
    found = [(one["type"], one["name"], sorted(one["aliases"])) for one in logged if one["type"] != "run_table"]
    assert found == [
        ("dataset", "data-toy", ["latest"]),
        ("model", f"model-{run}", ["ema", "latest", "step-1"]),
        ("model", f"model-{run}", ["ema", "latest", "step-2"]),
        ("evaluation", f"evaluation-{run}", ["latest", "step-2"]),
    ]
    assert logged[0]["use_after_commit"] and json.loads(logged[0]["metadata"])["fingerprint"]
    (results,) = tmp_path.glob("runs/run/evaluate/*/results.json")
    measured = json.loads(results.read_text())
    assert json.loads(logged[-1]["metadata"])["checkpoint"] == measured["checkpoint"]

    assert summary(recorded)["test/psnr"] == pytest.approx(measured["restored"]["psnr"])
    (table,) = (json.loads(file.read_text()) for file in folder.glob("files/media/table/test/*.table.json"))
    assert table["columns"] == [
        "frame",
        "blurry",
        "restored",
        "sharp",
        "PSNR",
        "SSIM",
        "SSIM 3-D",
        "warping error",
        "gain dB",
    ]
    row, image = table["data"][0], measured["images"][0]
    assert row[0] == f"{image['clip']}/{image['frame']}"
    assert row[1:4] == ["Image"] * 3
    (stored,) = (one["manifest"]["contents"] for one in logged if one["type"] == "run_table")
    assert len({entry["digest"] for entry in stored if entry["path"].endswith(".png")}) == 3 * len(measured["images"])
    assert row[4] == image["restored"]["psnr"] and row[-1] == image["restored"]["psnr"] - image["blurry"]["psnr"]


@pytest.mark.processes
def test_a_checkpoint_of_wandb_is_evaluated_and_exported(process: Run, run: Path, toy: Path, tmp_path: Path) -> None:
    (newest,) = run.glob("checkpoints/step_*3.ckpt")
    with serving({}, {"model-run": [newest]}) as server:
        variables = {**server, "WANDB_CACHE_DIR": str(tmp_path / "cache")}
        data = ["data=toy", f"data.root={toy}", "trainer=cpu"]
        evaluated = process("evaluate", f"checkpoint={ARTIFACT}", *data, **variables)
        assert evaluated.returncode == 0, evaluated.stderr
        exported = process("export", "--checkpoint", ARTIFACT, "--out", "export", **variables)
        assert exported.returncode == 0, exported.stderr
        name = [*TINY, f"data.root={toy}", "name=tuned", "trainer.max_steps=1", f"init={ARTIFACT}"]
        tuned = process("train", *name, **variables)
        assert tuned.returncode == 0 and "team/project/model-run-v0/checkpoints" in tuned.stdout, tuned.stderr
    stored = tmp_path / "artifacts" / "team" / "project" / "model-run-v0"
    assert (stored / "checkpoints" / newest.name).read_bytes() == newest.read_bytes()
    (results,) = stored.glob("evaluate/*/results.json")
    assert json.loads(results.read_text())["checkpoint"]["step"] == 3

    files = sorted((tmp_path / "export").iterdir())
    with serving({}, {"model-run": files}) as server:
        variables = {**server, "WANDB_CACHE_DIR": str(tmp_path / "cache"), "WANDB_ARTIFACT_DIR": "exports"}
        evaluated = process("evaluate", f"checkpoint={ARTIFACT}", *data, **variables)
        assert evaluated.returncode == 0, evaluated.stderr
    assert list(tmp_path.glob("exports/team/project/model-run-v0/evaluate/*/results.json"))


@pytest.mark.processes
def test_an_export_is_an_artifact_of_its_run_and_starts_another(
    process: Run, run: Path, toy: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "mine")
    done = process("export", "--checkpoint", "mine", "--out", "export", "--to-wandb", "project")
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("mine/wandb/offline-run-*")
    identity = json.loads((tmp_path / "mine" / "run.json").read_text())["id"]
    assert folder.name.endswith(identity)
    (artifact,) = (record["artifact"] for record in records(folder) if record["type"] == "artifact")
    assert (artifact["type"], artifact["name"]) == ("model", f"export-{identity}")
    assert sorted(artifact["aliases"]) == ["latest", "step-3"]
    stored = {entry["path"] for entry in artifact["manifest"]["contents"]}
    assert stored == {"config.json", "model.safetensors"}
    done = process("export", "--checkpoint", "export", "--out", "again", "--to-wandb", "project")
    refused(done, "is not in a run folder")
    assert not (tmp_path / "again").exists()

    new = ["name=tuned", "trainer.max_steps=1", "init=export", "logger=wandb"]
    assert process("train", *TINY, *new, f"data.root={toy}").returncode == 0
    (folder,) = tmp_path.glob("runs/tuned/wandb/offline-run-*")
    (config,) = (record["config"]["update"] for record in records(folder) if record["type"] == "config")
    assert config["lineage"]["step"] == 3 and config["lineage"]["missing"] == []


@pytest.mark.processes
def test_an_artifact_is_untrusted_and_may_not_exist(process: Run, toy: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "touched",))

    hostile, other = tmp_path / "step_00000001.ckpt", tmp_path / "other.txt"
    hostile.write_bytes(pickle.dumps(Hostile()))
    other.write_text("no weights")
    data = ["data=toy", f"data.root={toy}", "trainer=cpu"]
    with serving({}, {"model-run": [hostile], "model-empty": [other]}) as server:
        variables = {**server, "WANDB_CACHE_DIR": str(tmp_path / "cache")}
        messages = {"run": "cannot be read", "empty": "no .ckpt file and no export", "none": "not found"}
        for name, message in messages.items():
            done = process("evaluate", f"checkpoint=wandb:team/project/model-{name}:latest", *data, **variables)
            refused(done, message)
    assert not (tmp_path / "touched").exists()


def test_a_checkpoint_of_wandb_needs_an_account_and_a_name(process: Run) -> None:
    done = process("deblur", "photo.png", "--checkpoint", ARTIFACT, "--out", "out")
    refused(done, "cannot be")
    for wrong in ("wandb:model-run", "wandb:../project/model:latest", "wandb:a/b/c:../d"):
        with pytest.raises(DeblurzooError, match="give wandb:ENTITY/PROJECT/NAME:ALIAS"):
            fetch(wrong)
