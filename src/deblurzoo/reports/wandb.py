"""Weights & Biases (W&B): starting runs, uploading and downloading run folders."""

import logging
import os
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import wandb
from pydantic import ValidationError
from rich.progress import track
from wandb.env import get_data_dir

from deblurzoo.errors import DeblurzooError, first_line, require_utf8
from deblurzoo.files import require_output
from deblurzoo.metrics import figure, known_metrics
from deblurzoo.pictures.strips import read_strip
from deblurzoo.records import first_problem
from deblurzoo.reports.artifacts import harmless, log_export, log_results
from deblurzoo.reports.results import Measured, Results, read
from deblurzoo.reports.run_folder import (
    STATUS,
    State,
    Status,
    config_of,
    identity_of,
    own_id,
    run_of,
    write_identity,
)
from deblurzoo.reports.table import title

log = logging.getLogger(__name__)

INIT_SECONDS = 10.0
TAG_LENGTH = 64
"""Maximum length of a tag; W&B rejects longer tags."""
STEP = "trainer/global_step"
"""The x axis of all charts: the key under which Lightning's logger stores the step."""
FILES = ("config.yaml", "run.json", "csv/*/metrics.csv", "evaluate/*/results.json", "evaluate/*/side_by_side/*.png")
RESTORED = "evaluate/*/restored/*.png"
"""Restored images. They are uploaded only for frames that have a strip in `side_by_side`."""
STATES: dict[str, State] = {"finished": "done", "running": "running", "pending": "running"}
"""States of a run by the name of the state in W&B. A state that is not listed here means `failed`."""


def start_run(
    project: str, run: str, run_id: str, name: str, group: str | None, tags: list[str], job_type: str
) -> wandb.Run:
    """Start a W&B run without delaying training, and return it.

    The run is online if an API key is configured and the server answers within `INIT_SECONDS`. Otherwise it is
    recorded offline in `run/wandb`, and the command that uploads it is logged once. `WANDB_MODE` takes precedence.

    Args:
        project: W&B project, PROJECT or ENTITY/PROJECT.
        run: the run folder.
        run_id: W&B run id; a resumed run continues the W&B run of this id.
        name, group, tags, job_type: properties of the run in W&B.
    """
    # If the server does not answer, W&B's error reports would delay the end of a run by 20 more seconds.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    entity, _, own = project.rpartition("/")
    folder = Path(run)
    folder.mkdir(parents=True, exist_ok=True)
    _stage_files(folder)
    arguments: dict[str, Any] = {
        "project": own,
        "entity": entity or None,
        "id": run_id,
        "name": name,
        "group": group,
        "tags": tags,
        "job_type": job_type,
        "dir": str(folder),
        "settings": wandb.Settings(init_timeout=INIT_SECONDS, silent=True),
    }
    try:
        mode, started = wandb.setup(wandb.Settings(silent=True)).settings.mode, None
    except ValidationError as error:
        raise DeblurzooError(
            f"a variable WANDB_… of the environment is invalid ({first_problem(error)}): correct or unset it"
        ) from error
    reason = f"WANDB_MODE is {mode}"
    if mode == "online":
        reason = "no API key is configured (wandb login)"
        if wandb.login(prompt=False, verify=False):
            try:
                started = wandb.init(**arguments, resume="allow")
            except (wandb.Error, TimeoutError) as error:
                reason = f"the server did not answer ({error})"
                wandb.teardown()  # otherwise W&B's service rejects the run id in the second `init`
    if started is None:
        upload = f"wandb sync {shlex.quote(str(folder / 'wandb'))}/offline-run-*"
        if any(folder.glob(f"wandb/offline-run-*-{run_id}")):  # W&B rejects a second part of a run
            upload = f"after an evaluation, deblurzoo compare {shlex.join([str(folder), '--to-wandb', project])}"
        started = wandb.init(**arguments, mode="disabled" if mode == "disabled" else "offline")
        log.info("W&B records offline: %s. To upload: %s", reason, upload)
    _define_axis(started)
    return started


def _stage_files(folder: Path) -> None:
    """Set W&B's folder for files that wait for their upload to a run folder, if the usual folder cannot be written."""
    usual = Path(get_data_dir())
    try:
        require_output(usual, f"WANDB_DATA_DIR={usual}")
    except DeblurzooError:
        os.environ["WANDB_DATA_DIR"] = str(folder.resolve() / "wandb")


def _define_axis(run: wandb.Run) -> None:
    """Set the step as x axis of all charts; Lightning's logger does so only for runs that it opens itself.

    In addition, the best and the last value of each validation metric are stored in the summary of the run.
    """
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    best = {name: "max" if one.higher_is_better else "min" for name, one in known_metrics().items()} | {"gain": "max"}
    for name, better in best.items():  # a metric defined by name inherits nothing from "*"
        run.define_metric(f"val/{name}", step_metric=STEP, step_sync=True, summary=f"{better},last")


def finish_wandb(exit_code: int) -> None:
    """Close the W&B run if one is open. Otherwise, the next job of a multirun would be logged to the same W&B run."""
    if wandb.run is None:
        return
    with harmless("the last values"):  # Slurm kills all processes of a requeued job at once
        wandb.finish(exit_code=exit_code)


def is_logging() -> bool:
    """Whether a W&B run is open."""
    return wandb.run is not None


def mark_preempted() -> None:
    """Mark the open W&B run, if any, as preempted: it will resume, and has not failed."""
    if wandb.run is not None:
        wandb.run.mark_preempting()


def send_evaluation(run: Path, results: Path) -> None:
    """Upload an evaluation to the open W&B run, if any: summary `test/…`, image table, artifact and files.

    Args:
        run: the run folder.
        results: a `results.json` of this run.
    """
    if wandb.run is None:
        return
    evaluated = read(results)
    own = {f"sharp_{name}": value for name, value in evaluated.sharp.items()}
    more = {name: getattr(evaluated, name) for name in ("gain_db", "ms_per_image", "do_no_harm_psnr")}
    summary = {**evaluated.restored, **own, **more, "conditions": title([evaluated])}
    wandb.run.summary.update({f"test/{name}": value for name, value in summary.items() if value is not None})
    names = list(evaluated.restored)
    heads = [figure(name).heading for name in names]
    table = wandb.Table(columns=["frame", "blurry", "restored", "sharp", *heads, "gain dB"])
    for image, strip in _strips(results.parent, evaluated):
        pictures = map(wandb.Image, read_strip(strip))
        gain = image.restored["psnr"] - image.blurry["psnr"]
        table.add_data(image.id, *pictures, *(image.restored.get(name) for name in names), gain)
        _send(results.parent / image.image, run)
    wandb.run.log({"test/images": table, STEP: evaluated.checkpoint.step})
    log_results(results, evaluated)
    for pattern in FILES:
        for file in run.glob(pattern):
            _send(file, run)


def _send(file: Path, run: Path) -> None:
    assert wandb.run is not None
    wandb.run.save(file, base_path=run, policy="now", glob=False)  # folder names of sweeps may contain brackets


def _strips(folder: Path, results: Results) -> Iterator[tuple[Measured, Path]]:
    """Yield each image of an evaluation that has a blurry | restored | sharp strip, with the path of the strip."""
    for image in results.images:
        strip = folder / image.strip
        if strip.is_file():
            yield image, strip


def send_run(results: Path, project: str) -> None:
    """Upload an evaluation to the W&B run of its run folder.

    The summary of a W&B run shows the last evaluation uploaded. `fetch_runs` downloads all evaluations.
    """
    run = run_of(results)
    if run is None:
        raise DeblurzooError(f"{results} is not in a run folder: give RUN/evaluate/KIND/results.json")
    with _run_opened(run, project):
        send_evaluation(run, results)


def send_export(export: Path, run: Path, project: str) -> None:
    """Upload an export as an artifact to the W&B run of the run folder whose checkpoint was exported."""
    with _run_opened(run, project) as started:
        log_export(started, export, ema=bool(config_of(run, "choose another run").callbacks.get("ema")))


@contextmanager
def _run_opened(run: Path, project: str) -> Iterator[wandb.Run]:
    """Yield the W&B run of a run folder, with its config, group and tags. A copied run folder gets a new id."""
    require_utf8(run)
    config, identity = config_of(run, "choose another run"), identity_of(run)
    if (run_id := own_id(run)) != identity.id:
        write_identity(run, run_id, identity.name)
    started = start_run(project, str(run), run_id, identity.name, config.group, config.tags, job_type="train")
    started.config.update(config.for_wandb(), allow_val_change=True)  # type: ignore[no-untyped-call]
    try:
        yield started
    except (wandb.Error, OSError) as error:
        raise DeblurzooError(
            f"{run} cannot be sent to W&B ({first_line(error)}): check the project and `wandb login`"
        ) from error
    finish_wandb(0)


def send_page(page: Path, project: str, results: Sequence[Path], folder: Path) -> None:
    """Attach an HTML page to the group of the compared runs, as a W&B run of the job type `compare`.

    Args:
        page: the page, with embedded pictures.
        project: W&B project.
        results: the compared `results.json` files.
        folder: folder for W&B's files.
    """
    groups = {config_of(run, "choose another run").group for run in map(run_of, results) if run}
    group = groups.pop() if len(groups) == 1 else None
    started = start_run(project, str(folder), secrets.token_hex(4), page.stem, group, [], job_type="compare")
    started.log({page.stem: wandb.Html(str(page), inject=False)})
    finish_wandb(0)


def fetch_runs(project: str, out: Path) -> None:
    """Download the runs of a W&B project to `out`: the files that match `FILES` or `RESTORED`, and `status.json`.

    Args:
        project: ENTITY/PROJECT.
        out: an empty folder.

    Raises:
        DeblurzooError: no API key is configured, the server does not answer, the project does not exist, or no run has
            an evaluation.
    """
    try:
        for run in track(wandb.Api().runs(project), description="W&B runs", transient=True):
            _fetch_run(run, out / run.id)
    except (wandb.Error, ValueError, OSError) as error:  # ValueError: the API did not find the project
        raise DeblurzooError(
            f"W&B project {project} cannot be read ({error}): check the name, and log in with `wandb login`"
        ) from error
    if not any(out.glob("*/evaluate/*/results.json")):
        raise DeblurzooError(
            f"no run of the W&B project {project} has an evaluation: run sweeps with logger=wandb, or upload finished "
            "runs with `deblurzoo compare RUN… --to-wandb PROJECT`"
        )


def _fetch_run(run: Any, folder: Path) -> None:
    names = [file for file in run.files() if _is_ours(file.name)]
    for file in names:
        file.download(root=str(folder), replace=True).close()
    if names:
        status = Status(state=STATES.get(run.state, "failed"), reason=f"{run.state} in W&B", host="W&B", process=0)
        (folder / STATUS).write_bytes(status.as_json())


def _is_ours(name: str) -> bool:
    """Whether a file of a W&B run matches `FILES` or `RESTORED`, and its path stays inside the run folder."""
    parts = PurePosixPath(name).parts
    return ".." not in parts and any(fnmatch(name, pattern) for pattern in (*FILES, RESTORED))
