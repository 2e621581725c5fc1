"""Weights & Biases, started so that it never holds up training."""

import logging
import os
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger

from deblurzoo.metrics import known_metrics

log = logging.getLogger(__name__)

INIT_SECONDS = 10.0
TAG_LENGTH = 64
"""W&B refuses longer tags."""
STEP = "trainer/global_step"
"""The axis of all charts: where Lightning's logger puts the step of what it logs."""


def wandb_logger(
    project: str, run: str, run_id: str, name: str, group: str | None, tags: list[str], job_type: str
) -> WandbLogger:
    """Start a W&B run and return Lightning's logger for it.

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
    mode, experiment = wandb.setup(wandb.Settings(silent=True)).settings.mode, None
    reason = f"WANDB_MODE is {mode}"
    if mode == "online":
        reason = "no account is known (wandb login)"
        if wandb.login(prompt=False, verify=False):
            try:
                experiment = wandb.init(**arguments, resume="allow")
            except (wandb.Error, TimeoutError) as error:
                reason = f"the server did not answer ({error})"
                wandb.teardown()  # its service would refuse the run id a second time
    if experiment is None:
        experiment = wandb.init(**arguments, mode="disabled" if mode == "disabled" else "offline")
        log.info("W&B records offline: %s. To upload: wandb sync %s", reason, folder / "wandb" / "offline-run-*")
    _define_axis(experiment)
    return WandbLogger(experiment=experiment)


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
