"""Evaluations are distinguished by images, conditions and checkpoint, and never replace each other."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from conftest import SHORT, SMALL_TOY, Run
from deblurzoo.commands import evaluation as verb
from deblurzoo.reports.run_folder import original_of
from deblurzoo.synthesis.toy import write_toy
from verbs import refused

FAST = ["trainer=cpu", "datamodule.workers=0", "no_harm=0", "pictures=1"]


def write_pictures(root: Path, seed: int) -> list[str]:
    """Write pairs of noise and a darker version of it; return the config keys of the two folders."""
    rng = np.random.default_rng(seed)
    for number in range(2):
        sharp = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        for kind, picture in (("blur", sharp // 2 + 40), ("sharp", sharp)):
            (root / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / kind / f"{number}.png"), picture)
    return ["data=folder", f"data.test.blur={root}/blur", f"data.test.sharp={root}/sharp"]


def change(checkpoint: Path, to: Path, step: int = 0) -> None:
    """Write a checkpoint with other weights and another step."""
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["net.at_scale.0.out_block.1.bias"] += 0.1
    torch.save({**content, "global_step": step}, to)


def evaluate(deblurzoo: Run, *arguments: object) -> str:
    done = deblurzoo("evaluate", *arguments, *FAST)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def found(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results below a folder, by the name of their folder."""
    return {file.parent.name: json.loads(file.read_text()) for file in sorted(folder.rglob("results.json"))}


def test_two_folders_of_pictures_have_their_own_results(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    hide, reds = (write_pictures(tmp_path / name, seed) for seed, name in enumerate(("HIDE", "REDS")))
    evaluate(deblurzoo, f"checkpoint={identity}", *hide)
    first = (identity / "evaluate" / "folder_blur" / "results.json").read_bytes()
    evaluate(deblurzoo, f"checkpoint={identity}", *reds)
    assert (identity / "evaluate" / "folder_blur" / "results.json").read_bytes() == first
    assert list(found(identity)) == ["folder_blur", "folder_blur_REDS_step0"]
    again = evaluate(deblurzoo, f"checkpoint={identity}", *hide), evaluate(deblurzoo, f"checkpoint={identity}", *reds)
    assert ["folder_blur_REDS_step0" in text for text in again] == [False, True]
    places = [results["data"]["place"] for results in found(identity).values()]
    assert ["HIDE" in place for place in places] == [True, False]
    compared = deblurzoo("compare", "runs", "--markdown", "table.md", "--html", "page.html")
    assert compared.returncode == 0, compared.stderr
    for text in (compared.stdout, (tmp_path / "table.md").read_text()):
        assert "folder HIDE test" in text and "folder REDS test" in text
    page = (tmp_path / "page.html").read_text()
    assert "folder HIDE · test" in page and "folder REDS · test" in page


@pytest.mark.parametrize("data", ["toy", "synthesized", "gopro"])
def test_two_roots_have_their_own_results(data: str, deblurzoo: Run, identity: Path, toy: Path, tmp_path: Path) -> None:
    write_toy(tmp_path / "other" / "toy", replace(SMALL_TOY, seed=1))
    for root in (toy, tmp_path / "other" / "toy", toy):
        evaluate(deblurzoo, f"checkpoint={identity}", f"data={data}", f"data.root={root}")
    results = found(identity)
    assert len(results) == 2 and results[f"{data}_blur"]["data"]["place"] == f"data.root={toy}"
    compared = deblurzoo("compare", "runs", "--markdown", "table.md")
    assert compared.returncode == 0, compared.stderr
    titles = [line for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith("**")]
    assert sorted(title.rpartition(", data.root=")[2].rstrip("*") for title in titles) == sorted(
        [str(toy), f"{tmp_path}/other/toy"]
    )


def test_moved_and_packed_pictures_replace_their_own_results(
    deblurzoo: Run, identity: Path, toy: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy, tmp_path / "moved")
    assert deblurzoo("data", "pack", "data=toy", f"data.root={toy}", "out=pack").returncode == 0
    for place in (f"data.root={toy}", "data.root=moved", "data.packed=pack"):
        evaluate(deblurzoo, f"checkpoint={identity}", "data=toy", place)
        assert list(found(identity)) == ["toy_blur"]
        assert found(identity)["toy_blur"]["data"]["place"] == place


def test_bare_files_have_results_beside_them_under_their_names(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "HIDE", 0)
    (weights := tmp_path / "weights").mkdir()
    shutil.copy(identity / "checkpoints" / "step_00000000.ckpt", weights / "a.ckpt")
    change(weights / "a.ckpt", weights / "b.ckpt")
    exported = deblurzoo("export", "--checkpoint", "weights/a.ckpt", "--out", "export")
    assert exported.returncode == 0, exported.stderr
    shutil.copy(tmp_path / "export" / "config.json", weights)
    shutil.copy(tmp_path / "export" / "model.safetensors", weights / "c.safetensors")
    for name in ("a.ckpt", "b.ckpt", "c.safetensors"):
        evaluate(deblurzoo, f"checkpoint=weights/{name}", *data)
    evaluate(deblurzoo, "checkpoint=export", *data)
    places = {
        file.relative_to(tmp_path): json.loads(file.read_text())["name"] for file in tmp_path.rglob("results.json")
    }
    assert places == {
        Path("weights/a/evaluate/folder_blur/results.json"): "a",
        Path("weights/b/evaluate/folder_blur/results.json"): "b",
        Path("weights/c/evaluate/folder_blur/results.json"): "c",
        Path("export/evaluate/folder_blur/results.json"): "export",
    }
    change(weights / "b.ckpt", weights / "a.ckpt")  # a file of the same name with other weights
    evaluate(deblurzoo, "checkpoint=weights/a.ckpt", *data)
    assert len(found(weights / "a")) == 2


def test_a_checkpoint_is_known_to_be_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / "checkpoints")
    assert verb.run_folder(Path("step_00000001.ckpt")) == tmp_path / "run"
    assert verb.run_folder(Path("../checkpoints/step_00000001.ckpt")).resolve() == tmp_path / "run"
    assert verb.run_folder(Path("mine.ckpt")) == Path("mine")
    (tmp_path / "run" / "run.json").touch()
    assert verb.run_folder(Path("mine.ckpt")) == tmp_path / "run"
    assert verb.run_folder(Path("weights/mine")) == Path("weights/mine_evaluated"), "a file of this name exists"


def test_an_older_checkpoint_does_not_replace_the_newest_one(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "HIDE", 0)
    old, new = (identity / "checkpoints" / f"step_{step:08d}.ckpt" for step in (0, 1000))
    change(old, new, step=1000)
    evaluate(deblurzoo, f"checkpoint={identity}", *data)
    evaluate(deblurzoo, f"checkpoint={old}", *data)
    assert {name: results["checkpoint"]["step"] for name, results in found(identity).items()} == {
        "folder_blur": 1000,
        "folder_blur_HIDE_step0": 0,
    }
    compared = deblurzoo("compare", "runs", "--csv", "table.csv", "--html", "page.html")
    assert compared.returncode == 0, compared.stderr
    for text in (compared.stdout, (tmp_path / "table.csv").read_text(), (tmp_path / "page.html").read_text()):
        assert "identity step 0" in text and "identity step 1000" in text


def test_a_folder_given_is_never_taken_from_another_evaluation(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    hide, reds = (write_pictures(tmp_path / name, seed) for seed, name in enumerate(("HIDE", "REDS")))
    evaluate(deblurzoo, f"checkpoint={identity}", *hide, "out=out")
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    refused = deblurzoo("evaluate", f"checkpoint={identity}", *reds, "out=out", *FAST)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    message = " ".join(refused.stderr.split())
    assert "out=out contains the results of a different evaluation (data: data.test.blur=" in message
    assert "HIDE/sharp stored, data.test.blur=" in message and "REDS/sharp requested): choose a different" in message
    change(identity / "checkpoints" / "step_00000000.ckpt", tmp_path / "b.ckpt")
    refused = deblurzoo("evaluate", "checkpoint=b.ckpt", *hide, "out=out", *FAST)
    assert refused.returncode == 1 and "(checkpoint: " in refused.stderr and "b.ckpt (" in refused.stderr
    assert before == {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    evaluate(deblurzoo, f"checkpoint={identity}", *hide, "out=out")


def test_results_of_version_0_1_keep_their_place(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    hide, reds = (write_pictures(tmp_path / name, seed) for seed, name in enumerate(("HIDE", "REDS")))
    evaluate(deblurzoo, f"checkpoint={identity}", *hide)
    file = identity / "evaluate" / "folder_blur" / "results.json"
    old = json.loads(file.read_text())
    old.pop("data", None)
    file.write_text(json.dumps(old))
    evaluate(deblurzoo, f"checkpoint={identity}", *reds)
    assert json.loads(file.read_text()) == old
    assert deblurzoo("compare", "runs").returncode == 0
    evaluate(deblurzoo, f"checkpoint={identity}", *hide)
    assert len(found(identity)) == 2 and json.loads(file.read_text()) != old


def test_an_unfinished_evaluation_is_not_replaced_by_another(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    hide, reds = (write_pictures(tmp_path / name, seed) for seed, name in enumerate(("HIDE", "REDS")))
    evaluate(deblurzoo, f"checkpoint={identity}", *hide)
    usual = identity / "evaluate" / "folder_blur"
    results = json.loads((usual / "results.json").read_text())
    rows = [json.dumps(row) for row in results["images"]]
    (begun := usual.with_name(".folder_blur.unfinished")).mkdir()
    summary = (
        "frames",
        "resolution",
        "restored",
        "blurry",
        "sharp",
        "gain_db",
        "do_no_harm_psnr",
        "ms_per_image",
        "images",
    )
    summary += ("nothing_to_restore",)
    facts = {key: value for key, value in results.items() if key not in (*summary, "do_no_harm")}
    (begun / "facts.json").write_text(json.dumps(facts))
    (begun / "measured.jsonl").write_text(rows[0] + "\n")
    (usual / "restored").rename(begun / "restored")
    shutil.rmtree(usual)
    evaluate(deblurzoo, f"checkpoint={identity}", *reds)
    assert list(found(identity)) == ["folder_blur_REDS_step0"]
    assert (begun / "measured.jsonl").read_text() == rows[0] + "\n"
    assert "1 of 2 images" in evaluate(deblurzoo, f"checkpoint={identity}", *hide)
    assert list(found(identity)) == ["folder_blur", "folder_blur_REDS_step0"]


def test_a_copy_gets_a_new_id_and_a_moved_run_keeps_its_id(
    deblurzoo: Run, trained_run: Path, run: Path, toy: Path, tmp_path: Path
) -> None:
    def resume(name: str, steps: int) -> str:
        arguments = [*SHORT, f"data.root={toy}", f"name={name}", f"trainer.max_steps={steps}", "resume=auto"]
        done = deblurzoo("train", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def identity(folder: Path) -> dict[str, str]:
        checkpoint = torch.load(max(folder.glob("checkpoints/*.ckpt")), weights_only=True)
        content: dict[str, str] = json.loads((folder / "run.json").read_text())
        assert checkpoint["deblurzoo"]["run_id"] == content["id"]
        return content

    first = identity(trained_run)
    assert first["path"] == str(trained_run)
    assert f"runs/run is a copy of {trained_run}: it gets the new id" in resume("run", 4)
    renewed = identity(run)
    assert renewed["id"] != first["id"] and renewed["path"] == str(run)
    assert identity(trained_run) == first
    assert "is a copy of" not in resume("run", 5)
    assert identity(run) == renewed

    moved = run.rename(run.with_name("moved"))
    assert "is a copy of" not in resume("moved", 6)
    assert identity(moved) == {"id": renewed["id"], "name": "moved", "path": str(moved)}

    shutil.copytree(moved, run)
    file = run / "run.json"  # without the path, as in earlier versions
    file.write_text(json.dumps({"id": renewed["id"], "name": "run"}))
    assert "is a copy of" not in resume("run", 7)
    assert identity(run) == {"id": renewed["id"], "name": "run", "path": str(run)}


def test_a_folder_under_two_paths_is_no_copy(trained_run: Path, run: Path, tmp_path: Path) -> None:
    assert original_of(run) == trained_run
    (tmp_path / "link").symlink_to(trained_run)
    assert original_of(tmp_path / "link") is None and original_of(trained_run) is None
    for path in ("relative", str(tmp_path), "/nul\0", "/dev/stdin", 3):
        (run / "run.json").write_text(json.dumps({"id": "0", "name": "run", "path": path}))
        assert original_of(run) is None, path


def test_compare_adds_the_folder_to_the_names_of_copies(deblurzoo: Run, run: Path, toy: Path, tmp_path: Path) -> None:
    evaluate(deblurzoo, f"checkpoint={run}", "data=toy", f"data.root={toy}")
    shutil.copytree(run, run.with_name("twin"))
    shutil.copytree(run, tmp_path / "backup" / "run")
    for runs, names in (
        (["runs"], ["run", "run (twin)"]),
        (["runs/run", "backup"], ["run (backup/run)", "run (runs/run)"]),
        ([run.with_name("twin")], ["run"]),
    ):
        compared = deblurzoo("compare", *runs, "--csv", "table.csv", "--html", "page.html")
        assert compared.returncode == 0, compared.stderr
        with (tmp_path / "table.csv").open() as file:
            assert sorted(row["name"] for row in csv.DictReader(file)) == names
        assert all(name in (tmp_path / "page.html").read_text() for name in names)


def test_compare_follows_links_and_names_folders_that_it_cannot_read(
    deblurzoo: Run, run: Path, toy: Path, obeying: None, tmp_path: Path
) -> None:
    arguments = ["checkpoint=runs/run", "data=toy", f"data.root={toy}", "trainer=cpu", "pictures=0"]
    assert deblurzoo("evaluate", *arguments).returncode == 0
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "linked").symlink_to(run)
    (run / "loop").symlink_to(run.parent)
    (tmp_path / "table" / "closed").mkdir(mode=0)
    done = deblurzoo("compare", "table")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("│ run ") == 1
    assert "table/closed" in done.stdout and "cannot be read (Permission denied)" in done.stdout
    assert "closed: cannot be read" not in deblurzoo("compare", "runs").stdout
    (tmp_path / "table" / "closed").chmod(0o700)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 1}'])
def test_compare_fails_if_no_result_can_be_read(content: str, deblurzoo: Run, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(content)
    for path in (".", "results.json"):
        done = deblurzoo("compare", path, "--csv", "table.csv")
        refused(done, "nothing to compare: no run has a result that can be read")
        assert "results.json" in done.stdout and not (tmp_path / "table.csv").exists()
