"""A job of a sweep, or a trial of `wandb agent`: trains or resumes, then evaluates."""

from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.evaluate import evaluate
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import claim
from deblurzoo.reports.results import read
from deblurzoo.reports.run_folder import recorded, trial_id
from deblurzoo.reports.wandb import TAG_LENGTH, is_logging, send_evaluation, send_run
from deblurzoo.training.checkpoints import checkpoint_of
from deblurzoo.training.precision import AUTO

_folders: dict[Path, DictConfig] = {}
"""Run folders and configs of this process's sweep; jobs that differ only in `exclude_keys` share a folder."""


def job(cfg: DictConfig, run: Path, fit: Any) -> float:
    """Train with `fit` and evaluate in a run folder; return the PSNR, for a sweeper such as Optuna.

    Raises:
        DeblurzooError: an earlier job of this sweep has the same folder and another config.
    """
    if _folders.setdefault(run, cfg) != cfg:  # a search may repeat a job
        raise DeblurzooError(
            f"{run} is the folder of an earlier job of this sweep: the keys in which the jobs differ are not part of "
            "folder names. Sweep over experiment or name, or run the jobs one by one"
        )
    claim(run)
    name = str(cfg.name)
    tags = [cfg.tags] if isinstance(cfg.tags, str) else [*(cfg.tags or [])]
    own = [part[:TAG_LENGTH] for part in dict.fromkeys([name, run.name])]
    label = {} if run.name == name else {"label": f"{name} {run.name}"}
    with recorded(run):
        fit(cfg, run, resume=cfg.resume or "auto", group=cfg.group or name, tags=[*tags, *own], **label)
        return evaluated(cfg, run)


def evaluated(cfg: DictConfig, run: Path) -> float:
    """Evaluate a trained run unless it is evaluated already, log the results to the open W&B run; return the PSNR."""
    results = evaluate(evaluation(cfg, run), anew=False)
    project = OmegaConf.select(cfg, "logger.wandb.project")
    if trial_id() and project and not is_logging():  # the trial was preempted after its training
        send_run(results, project)
    else:
        send_evaluation(run, results)
    return read(results).restored["psnr"]


def evaluation(cfg: DictConfig, run: Path) -> DictConfig:
    """Return the `deblurzoo evaluate` config for a run: its data, trainer, metrics and trust, otherwise defaults."""
    usual = compose("evaluate", [f"data={HydraConfig.get().runtime.choices['data']}"])
    OmegaConf.set_struct(usual, False)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    ours = {key: resolved[key] for key in ("data", "datamodule", "trainer", "metrics", "trust")}
    merged = OmegaConf.merge(usual, ours, {"checkpoint": str(checkpoint_of(run)), "trainer": {"precision": AUTO}})
    assert isinstance(merged, DictConfig)
    return merged
