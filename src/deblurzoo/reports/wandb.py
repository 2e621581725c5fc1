"""Weights & Biases: runs are started, run folders are sent there, and come back for a comparison."""

import logging
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import wandb
from rich.progress import track

from deblurzoo.errors import DeblurzooError, require_utf8
from deblurzoo.metrics import figure, known_metrics
from deblurzoo.reports.results import Measured, Results, read
from deblurzoo.reports.run_folder import STATUS, State, Status, config_of, identity_of, run_of
from deblurzoo.reports.table import title

log = logging.getLogger(__name__)

INIT_SECONDS = 10.0
TAG_LENGTH = 64
"""W&B refuses longer tags."""
STEP = "trainer/global_step"
"""The axis of all charts: where Lightning's logger puts the step of what it logs."""
FILES = ("config.yaml", "run.json", "csv/*/metrics.csv", "evaluate/*/results.json", "evaluate/*/side_by_side/*.png")
RESTORED = "evaluate/*/restored/*.png"
"""Sent for the frames that have a strip in side_by_side alone."""
STATES: dict[str, State] = {"finished": "done", "running": "running", "pending": "running"}
"""W&B's states of a run; all others are failures."""


def start_run(
    project: str, run: str, run_id: str, name: str, group: str | None, tags: list[str], job_type: str
) -> wandb.Run:
    """Start a W&B run, so that it never holds up training, and return it.

    The run is online where an API key is known and the server answers within seconds; otherwise it is recorded
    offline under `run/wandb`, which is said once with the command that uploads it. `WANDB_MODE` overrules.

    Args:
        project: W&B project.
        run: the run folder.
        run_id: W&B run id; a resumed run continues the same one.
        name, group, tags, job_type: as W&B shows them.
    """
    # Its reports about itself would hold up the end of a run by 20 s more where the server does not answer.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    folder = Path(run)
    folder.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {
        "project": project,
        "id": run_id,
        "name": name,
        "group": group,
        "tags": tags,
        "job_type": job_type,
        "dir": str(folder),
        "settings": wandb.Settings(init_timeout=INIT_SECONDS, silent=True),
    }
    mode, started = wandb.setup(wandb.Settings(silent=True)).settings.mode, None
    reason = f"WANDB_MODE is {mode}"
    if mode == "online":
        reason = "no account is known (wandb login)"
        if wandb.login(prompt=False, verify=False):
            try:
                started = wandb.init(**arguments, resume="allow")
            except (wandb.Error, TimeoutError) as error:
                reason = f"the server did not answer ({error})"
                wandb.teardown()  # its service would refuse the run id a second time
    if started is None:
        started = wandb.init(**arguments, mode="disabled" if mode == "disabled" else "offline")
        log.info("W&B records offline: %s. To upload: wandb sync %s", reason, folder / "wandb" / "offline-run-*")
    _define_axis(started)
    return started


def _define_axis(run: wandb.Run) -> None:
    """Draw all charts over the step, which Lightning's logger does for runs alone that it opens itself.

    A run's summary has the best and last value of what is measured in validation.
    """
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    best = {name: "max" if one.higher_is_better else "min" for name, one in known_metrics().items()} | {"gain": "max"}
    for name, better in best.items():  # a metric that is defined by its name takes nothing from "*"
        run.define_metric(f"val/{name}", step_metric=STEP, step_sync=True, summary=f"{better},last")


def finish_wandb(exit_code: int) -> None:
    """Close the open W&B run, if there is one: the next job of a multirun would else be merged into it."""
    if wandb.run is None:
        return
    try:
        wandb.finish(exit_code=exit_code)
    except ConnectionError:  # Slurm ends all processes of a job that it requeues at once
        log.warning("W&B's own process was ended: it may lack the last figures")


def send_evaluation(run: Path, results: Path) -> None:
    """Put an evaluation into the open W&B run, if there is one: summary `test/…`, image table and the run's files.

    Args:
        run: the run folder.
        results: a `results.json` of it.
    """
    if wandb.run is None:
        return
    evaluated = read(results)
    figures = {**evaluated.restored, "gain_db": evaluated.gain_db, "ms_per_image": evaluated.ms_per_image}
    if evaluated.do_no_harm_psnr is not None:
        figures["do_no_harm_psnr"] = evaluated.do_no_harm_psnr
    summary = {**figures, "conditions": title([evaluated])}
    wandb.run.summary.update({f"test/{name}": value for name, value in summary.items()})
    names = list(evaluated.restored)
    heads = [text for name in names for text in (f"{figure(name).heading} blurry", figure(name).heading)]
    table = wandb.Table(columns=["frame", "blurry | restored | sharp", *heads])
    for image, strip in _strips(results.parent, evaluated):
        measured = (kind[name] for name in names for kind in (image.blurry, image.restored))
        table.add_data(image.id, wandb.Image(str(strip)), *measured)
        _send(results.parent / image.image, run)
    wandb.run.log({"test/images": table, STEP: evaluated.checkpoint.step})
    for pattern in FILES:
        for file in run.glob(pattern):
            _send(file, run)


def _send(file: Path, run: Path) -> None:
    assert wandb.run is not None
    wandb.run.save(file, base_path=run, policy="now", glob=False)  # names of sweeps' folders may have brackets


def _strips(folder: Path, results: Results) -> Iterator[tuple[Measured, Path]]:
    """Yield the images of an evaluation that have a blurry | restored | sharp strip, with it."""
    for image in results.images:
        strip = folder / image.strip
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
    config, identity = config_of(run, "send another run"), identity_of(run)
    started = start_run(project, str(run), identity.id, identity.name, config.group, config.tags, job_type="train")
    started.config.update(config.model_dump(), allow_val_change=True)  # type: ignore[no-untyped-call]
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
        status = Status(state=STATES.get(run.state, "failed"), reason=f"{run.state} in W&B", host="W&B", process=0)
        (folder / STATUS).write_bytes(status.as_json())


def _is_ours(name: str) -> bool:
    """Whether a file of a W&B run is one that we sent; never one that would be written elsewhere."""
    parts = PurePosixPath(name).parts
    return ".." not in parts and any(fnmatch(name, pattern) for pattern in (*FILES, RESTORED))
