"""A job of a sweep, or a trial of `wandb agent`: train or resume a run, then evaluate it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.evaluate import evaluate
from deblurzoo.commands.hydra_app import blur_choice, require_settings
from deblurzoo.commands.processes import on_free_devices
from deblurzoo.commands.settings import Training
from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import current
from deblurzoo.files import claim
from deblurzoo.records import shown
from deblurzoo.reports.artifacts import harmless
from deblurzoo.reports.results import read
from deblurzoo.reports.run_folder import CONFIG, config_of, recorded, trial_id
from deblurzoo.reports.wandb import TAG_LENGTH, is_logging, send_evaluation, send_run
from deblurzoo.training.checkpoints import checkpoint_of
from deblurzoo.training.devices import first_of
from deblurzoo.training.precision import AUTO, is_one

_TRAINING = (
    *("model", "init", "data", "datamodule.batch_size", "datamodule.augmentation", "callbacks.ema", "seed"),
    *("trainer.accumulate_grad_batches", "trainer.gradient_clip_val", "trainer.gradient_clip_algorithm"),
)
"""Keys on which the weights of a run depend, apart from those of `_INDIFFERENT`."""
_INDIFFERENT = re.compile(
    r"model\.(vgg16|flownet|schedule\.steps|optimizer\.fused)|data\.(.*\.)?(root|packed|verify|common_frames)"
    r"|data\.(test|train)\..*"
)
"""Places of files, and keys of speed, length and evaluation. The images of a run are checked when it resumes."""
_ADDED = {
    **{"model.net.padding": "symmetric", "model.net.resize": "half_pixel", "model.net.fill": "replicate"},
    **{"model.luminance": False, "model.initialisation": "torch", "model.bias_rate": 1.0},
    **{"model.frozen_biases": False, "model.warp": 1.0},
}
"""Keys that configs of older runs lack, and the values with which these runs were trained."""


def job(cfg: DictConfig, run: Path, fit: Any) -> float:
    """Train a run with `fit` and evaluate it; return the PSNR, which a sweeper such as Optuna can maximise.

    Raises:
        DeblurzooError: the folder holds a run of another config.
    """
    claim(run)
    require_same_training(cfg, run)
    name = str(cfg.name)
    tags = [cfg.tags] if isinstance(cfg.tags, str) else [*(cfg.tags or [])]
    own = [part[:TAG_LENGTH] for part in dict.fromkeys([name, run.name])]
    label = {} if run.name == name else {"label": f"{name} {run.name}"}
    with recorded(run):
        require_settings(cfg, Training)
        with on_free_devices(cfg, run) as cfg:
            resume = "auto" if any(run.glob("checkpoints/step_*.ckpt")) else cfg.resume or "auto"
            fit(cfg, run, resume=resume, group=cfg.group or name, tags=[*tags, *own], **label)
            return evaluated(cfg, run)


def evaluated(cfg: DictConfig, run: Path) -> float:
    """Evaluate a trained run unless it is evaluated already, log the results to the open W&B run; return the PSNR."""
    results = evaluate(evaluation(cfg, run), anew=False)
    project = OmegaConf.select(cfg, "logger.wandb.project")
    with harmless("the evaluation"):
        if trial_id() and project and not is_logging():  # the trial was preempted after its training
            send_run(results, project)
        else:
            send_evaluation(run, results)
    return read(results).restored["psnr"]


def require_same_training(cfg: DictConfig, run: Path) -> None:
    """Raise a DeblurzooError if the run of a folder was trained with another value of a key that decides its weights.

    Folders of jobs are not named by keys with one value, so a second sweep may find the jobs of a first one.
    """
    if not (run / CONFIG).is_file():
        return
    stored = config_of(run, f"remove {run}, or set name=OTHER").content
    theirs = _training(stored)
    merged: Any = OmegaConf.merge(cfg, {"data": blur_choice(cfg.data, cfg.blur)})
    ours = _training(OmegaConf.to_container(merged, resolve=True))
    theirs = {key: value for key, value in _ADDED.items() if key in ours} | theirs
    keys = theirs.keys() | ours.keys() if "datamodule" in stored else theirs.keys() & ours.keys()  # else version 0.1
    if differing := [key for key in sorted(keys) if theirs.get(key) != ours.get(key)]:
        values = (f"{key}: {shown(theirs.get(key))} there, {shown(ours.get(key))} in this sweep" for key in differing)
        raise DeblurzooError(
            f"{run} holds a run with other values ({'; '.join(values)}): set name=OTHER for this sweep, or set these "
            "values as in the run"
        )


def _training(config: Any) -> dict[str, Any]:
    """Return the values of a config that decide the weights, by key."""
    return {
        key: current(value) if key.endswith("._target_") else value
        for key, value in _leaves("", config)
        if f"{key}.".startswith(tuple(f"{one}." for one in _TRAINING)) and not _INDIFFERENT.fullmatch(key)
    }


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each value in nested dicts with its key, such as `model.net.width`."""
    if not isinstance(value, dict):
        yield key, value
        return
    for inner, content in value.items():
        yield from _leaves(f"{key}.{inner}" if key else str(inner), content)


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
