"""Run folders in W&B: what of them is sent there, and how they come back for a comparison."""

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import wandb
from rich.progress import track

from deblurzoo.callbacks.loggers import STEP, finish_wandb, wandb_logger
from deblurzoo.errors import DeblurzooError, require_utf8
from deblurzoo.metrics import figure
from deblurzoo.records import RunConfig, load_record
from deblurzoo.reports.status import FILE as STATUS
from deblurzoo.reports.status import identity_of, run_of
from deblurzoo.reports.table import title

FILES = ("config.yaml", "run.json", "csv/*/metrics.csv", "evaluate/*/results.json", "evaluate/*/side_by_side/*.png")
RESTORED = "evaluate/*/restored/*.png"
"""Sent for the frames that have a strip in side_by_side alone."""
STATES = {"finished": "done", "running": "running", "pending": "running"}
"""W&B's states of a run; all others are failures."""


def send_evaluation(run: Path, results: Path) -> None:
    """Put an evaluation into the open W&B run, if there is one: summary `test/…`, image table and the run's files.

    Args:
        run: the run folder.
        results: a `results.json` of it.
    """
    if wandb.run is None:
        return
    facts = json.loads(results.read_text())
    figures = {**facts["restored"], "gain_db": facts["gain_db"], "ms_per_image": facts["ms_per_image"]}
    if facts.get("do_no_harm_psnr") is not None:
        figures["do_no_harm_psnr"] = facts["do_no_harm_psnr"]
    figures["conditions"] = title([facts])
    wandb.run.summary.update({f"test/{name}": value for name, value in figures.items()})
    names = list(facts["restored"])
    heads = [text for name in names for text in (f"{figure(name).heading} blurry", figure(name).heading)]
    table = wandb.Table(columns=["frame", "blurry | restored | sharp", *heads])
    for image, strip in _strips(results.parent, facts):
        measured = (image[kind][name] for name in names for kind in ("blurry", "restored"))
        table.add_data(f"{image['clip']}/{image['frame']}", wandb.Image(str(strip)), *measured)
        _send(results.parent / "restored" / image["clip"] / f"{image['frame']}.png", run)
    wandb.run.log({"test/images": table, STEP: facts["checkpoint"]["step"]})
    for pattern in FILES:
        for file in run.glob(pattern):
            _send(file, run)


def _send(file: Path, run: Path) -> None:
    assert wandb.run is not None
    wandb.run.save(file, base_path=run, policy="now", glob=False)  # names of sweeps' folders may have brackets


def _strips(folder: Path, facts: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield the images of an evaluation that have a blurry | restored | sharp strip, with it."""
    for image in facts["images"]:
        strip = folder / "side_by_side" / f"{image['clip']}_{image['frame']}.png"
        if strip.is_file():
            yield image, strip


def send_run(results: Path, project: str) -> None:
    """Make or continue the W&B run of a run folder, with its config, group and tags, and put an evaluation into it.

    A run has one summary: of several evaluations it shows the last one sent. `fetch_runs` gives all of them.
    """
    run = run_of(results)
    if run is None:
        raise DeblurzooError(f"{results} lies in no run folder: W&B takes RUN/evaluate/KIND/results.json")
    require_utf8(run)
    config, identity = load_record(run / "config.yaml", RunConfig, "send another run"), identity_of(run)
    of_run = (identity["id"], identity["name"], config["group"], config["tags"])
    logger = wandb_logger(project, str(run), *of_run, job_type="train")
    logger.log_hyperparams(config)
    send_evaluation(run, results)
    finish_wandb(0)


def fetch_runs(project: str, out: Path) -> None:
    """Write the run folders of a W&B project below `out`: what `FILES` and `RESTORED` name, and how each run ended.

    Args:
        project: ENTITY/PROJECT.
        out: an empty folder.

    Raises:
        DeblurzooError: no account, no such project, no answer, or no run with an evaluation in it.
    """
    if project.count("/") != 1:
        raise DeblurzooError(f"--wandb {project} must be ENTITY/PROJECT")
    try:
        for run in track(wandb.Api().runs(project), description="W&B runs", transient=True):
            _fetch_run(run, out / run.id)
    except (wandb.Error, ValueError, OSError) as error:  # ValueError: how the API says that there is no such project
        raise DeblurzooError(f"W&B's {project} cannot be read ({error}): check the name and `wandb login`") from error
    if not any(out.glob("*/evaluate/*/results.json")):
        raise DeblurzooError(
            f"no run of W&B's {project} has an evaluation: sweeps with logger=wandb send theirs, "
            "`deblurzoo compare RUN… --to-wandb PROJECT` those of finished runs"
        )


def _fetch_run(run: Any, folder: Path) -> None:
    names = [file for file in run.files() if _is_ours(file.name)]
    for file in names:
        file.download(root=str(folder), replace=True).close()
    if names:
        state = STATES.get(run.state, "failed")
        facts = {"state": state, "reason": f"{run.state} in W&B", "host": "W&B", "process": 0}
        (folder / STATUS).write_text(json.dumps(facts))


def _is_ours(name: str) -> bool:
    """Whether a file of a W&B run is one that we sent; never one that would be written elsewhere."""
    parts = PurePosixPath(name).parts
    return ".." not in parts and any(fnmatch(name, pattern) for pattern in (*FILES, RESTORED))
