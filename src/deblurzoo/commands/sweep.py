"""The job of a sweep: train or resume a run, then evaluate it."""

from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.evaluate import evaluate
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import claim
from deblurzoo.reports.results import read
from deblurzoo.reports.run_folder import recorded
from deblurzoo.reports.wandb import TAG_LENGTH, send_evaluation
from deblurzoo.training.checkpoints import checkpoint_of
from deblurzoo.training.precision import AUTO

_folders: dict[Path, DictConfig] = {}
"""Configs of this process's jobs by run folder. Jobs that differ only in `exclude_keys` have the same folder."""


def job(cfg: DictConfig, run: Path, fit: Any) -> float:
    """Train a run with `fit` and evaluate it; return the PSNR, which a sweeper such as Optuna can maximise.

    Raises:
        DeblurzooError: an earlier job of this sweep has the same folder and a different config.
    """
    if _folders.setdefault(run, cfg) != cfg:  # the configs are equal if a search repeats a job
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
        results = evaluate(evaluation(cfg, run), anew=False)
        send_evaluation(run, results)
        return read(results).restored["psnr"]


def evaluation(cfg: DictConfig, run: Path) -> DictConfig:
    """Return the `deblurzoo evaluate` config of a job: its data, trainer, metrics and trust; otherwise defaults."""
    usual = compose("evaluate", [f"data={HydraConfig.get().runtime.choices['data']}"])
    OmegaConf.set_struct(usual, False)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    ours = {key: resolved[key] for key in ("data", "datamodule", "trainer", "metrics", "trust")}
    merged = OmegaConf.merge(usual, ours, {"checkpoint": str(checkpoint_of(run)), "trainer": {"precision": AUTO}})
    assert isinstance(merged, DictConfig)
    return merged
