"""A job of a sweep: trains or resumes, then evaluates."""

from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.evaluate import evaluate
from deblurzoo.commands.hydra_app import require_settings
from deblurzoo.commands.processes import on_free_devices
from deblurzoo.commands.settings import Training
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import claim
from deblurzoo.reports.results import read
from deblurzoo.reports.run_folder import recorded
from deblurzoo.reports.wandb import TAG_LENGTH, send_evaluation
from deblurzoo.training.checkpoints import checkpoint_of
from deblurzoo.training.devices import first_of
from deblurzoo.training.precision import AUTO, is_one

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
        require_settings(cfg, Training)
        with on_free_devices(cfg, run) as cfg:
            fit(cfg, run, resume=cfg.resume or "auto", group=cfg.group or name, tags=[*tags, *own], **label)
            results = evaluate(evaluation(cfg, run), anew=False)
            send_evaluation(run, results)
            return read(results).restored["psnr"]


def evaluation(cfg: DictConfig, run: Path) -> DictConfig:
    """Return the `deblurzoo evaluate` config for a job: its data, trainer, metrics and trust, otherwise defaults.

    A job on several devices is evaluated on the first.
    """
    usual = compose("evaluate", [f"data={HydraConfig.get().runtime.choices['data']}"])
    OmegaConf.set_struct(usual, False)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    ours = {key: resolved[key] for key in ("data", "datamodule", "trainer", "metrics", "trust")}
    trainer: dict[str, Any] = {"precision": AUTO}
    if not is_one(cfg.trainer.devices):
        trainer |= {
            "devices": first_of(cfg.trainer.devices, cfg.trainer.accelerator),
            "strategy": "auto",
            "num_nodes": 1,
        }
    merged = OmegaConf.merge(usual, ours, {"checkpoint": str(checkpoint_of(run)), "trainer": trainer})
    assert isinstance(merged, DictConfig)
    return merged
