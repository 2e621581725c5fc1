"""`deblurzoo train`: from a config to a trained network."""

import errno
import logging
import secrets
import sys
import traceback
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, Timer
from torch import nn
from torch.distributed import DistError

from deblurzoo.callbacks import AtomicCheckpointIO, SlurmRequeue, StepCheckpoints, slurm_plugins
from deblurzoo.commands.evaluate import evaluate, require_metrics
from deblurzoo.commands.hydra_app import (
    build,
    choose_blur,
    hydra_main,
    plain,
    quiet_lightning,
    require_shape,
    require_values,
)
from deblurzoo.commands.user_configs import require_own_network
from deblurzoo.config import require_plain
from deblurzoo.data import Source
from deblurzoo.data.batches import reader_failure
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.errors import DeblurzooError, first_line, require_at_least, require_utf8
from deblurzoo.extensions import current, imported, name_of
from deblurzoo.files import claim, write_atomically
from deblurzoo.records import Evaluating, Training
from deblurzoo.reports.results import read
from deblurzoo.reports.run_folder import CONFIG, IDENTITY, Identity, identity_of, recorded
from deblurzoo.reports.wandb import TAG_LENGTH, finish_wandb, send_evaluation
from deblurzoo.training.checkpoints import checkpoint_of, find_checkpoint, is_export, read_checkpoint
from deblurzoo.training.module import ADAM, DeblurModule
from deblurzoo.training.precision import AUTO, is_one, require_compiler, require_trainer, settle_precision

log = logging.getLogger(__name__)

_folders: dict[Path, dict[str, Any]] = {}
"""Run folders and configs of this process's sweep: data.root and others of conf/train.yaml's exclude_keys name none."""


def train(cfg: DictConfig) -> float | None:
    """Train `cfg.model` in the run folder `cfg.run`; in a sweep, go on with what is there and evaluate in the end.

    Returns:
        In a sweep, the PSNR of the evaluation, which a sweeper like Optuna may maximise.
    """
    run = Path(cfg.run)
    require_utf8(run)
    run = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run
    for key in ("name", "label", "group"):  # Hydra takes name=2021 for a number
        cfg[key] = None if cfg[key] is None else str(cfg[key])
    tags = [cfg.tags] if isinstance(cfg.tags, str) else cfg.tags or []
    cfg.tags = [str(tag) for tag in tags]
    exit_code = 1
    try:
        psnr = None
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            psnr = _job(cfg, run)
        else:
            fit(cfg, run)
        exit_code = 0
        return psnr
    finally:
        finish_wandb(exit_code)


def _job(cfg: DictConfig, run: Path) -> float:
    """Train and evaluate as one job of a sweep; return the PSNR."""
    if _folders.setdefault(run, plain(cfg)) != plain(cfg):  # a search may repeat a job
        raise DeblurzooError(
            f"{run} is the folder of an earlier job of this sweep: what differs between them names no folders, "
            "so sweep over experiment or name, or run them one by one"
        )
    claim(run)
    cfg.resume = cfg.resume or "auto"
    cfg.group = cfg.group or cfg.name
    if run.name != cfg.name:
        cfg.label = f"{cfg.name} {run.name}"
    cfg.tags = [*cfg.tags, *(name[:TAG_LENGTH] for name in dict.fromkeys([cfg.name, run.name]))]
    with recorded(run):
        fit(cfg, run)
        results = evaluate(_evaluation(cfg, str(find_checkpoint(run))), anew=False)
        send_evaluation(run, results)
        return read(results).restored["psnr"]


def _evaluation(cfg: DictConfig, checkpoint: str) -> DictConfig:
    """Return the config of `deblurzoo evaluate` for what was just trained."""
    parts = {key: value for key, value in plain(cfg).items() if key in ("data", "datamodule", "trainer")}
    parts["trainer"]["precision"] = AUTO  # figures to compare, however the network was trained
    usual = {"compile": False, "out": None, "switch": None, "pictures": 8, "no_harm": 8, "rounding": "nearest"}
    return OmegaConf.create({**parts, "checkpoint": checkpoint, "trust": cfg.trust, "metrics": cfg.metrics, **usual})


def fit(cfg: DictConfig, run: Path) -> None:
    """Train `cfg.model` on `cfg.data` in a run folder, from the start or from a checkpoint."""
    quiet_lightning()
    _require_settings(cfg)
    if cfg.resume and Path(cfg.resume).resolve() == run.resolve():
        cfg.resume = "auto"
    start = resume_point(cfg.resume, run)
    checkpoint = read_checkpoint(start) if start else None
    settle_precision(cfg.trainer, checkpoint, cfg.model.optimizer)
    pl.seed_everything(cfg.seed, verbose=False)
    module = build_module(cfg.model)
    require_own_network()
    module.watch(cfg.metrics or ())
    source: Source = build(cfg.data)
    if checkpoint:
        require_same_run(checkpoint, module, source, "ema" in cfg.callbacks, str(start))
    else:
        module.load_pretrained()
    datamodule = _checked_data(cfg, module, source)
    if start and checkpoint:
        require_same_pictures(checkpoint, datamodule.trained_on, str(start))
        if _is_finished(start, checkpoint["global_step"], cfg.trainer.max_steps, run):
            return
    if cfg.compile:
        module.net.compile()

    cfg.run_id = checkpoint["deblurzoo"]["run_id"] if checkpoint else _identity(cfg.resume, run)
    requeue = SlurmRequeue()
    trainer = _trainer(cfg, requeue)
    _require_processes(trainer)
    datamodule.require_shares(trainer.world_size)
    if trainer.is_global_zero:
        _take_over(run, cfg)
    parameters = sum(p.numel() for p in module.net.parameters())
    network = f"{type(module).__name__} with {parameters:,} parameters"
    log.info("%s: %s on %s, in %s", cfg.name, network, source.name, cfg.trainer.precision)
    try:
        _fit_logged(trainer, module, datamodule, cfg, start)
    except SystemExit:  # how Lightning ends a run on SIGINT and, with exit code 0, on SIGTERM
        log.warning("stopped by a signal at step %d: resume=auto goes on from the last checkpoint", trainer.global_step)
        finish_wandb(1)
        requeue.hand_on()
        sys.exit(1)
    requeue.hand_on()
    log.info("%s. Next: deblurzoo evaluate checkpoint=%s data=%s …", _ending(trainer), run, source.name)


def _is_finished(start: Path, step: int, last: int, run: Path) -> bool:
    """Return whether a run has taken its last step already.

    Raises:
        DeblurzooError: the checkpoint to start from is of another run, and of no earlier step than the last one.
    """
    if step < last:
        return False
    if start.resolve().parent != (run / "checkpoints").resolve():
        raise DeblurzooError(f"{start} is at step {step} already: set a larger trainer.max_steps to go on")
    log.info("%s is finished at step %d; a larger trainer.max_steps goes on", run, step)
    return True


def _trainer(cfg: DictConfig, requeue: SlurmRequeue) -> pl.Trainer:
    """Return Lightning's trainer with the callbacks of the config.

    Raises:
        DeblurzooError: no callback saves checkpoints.
    """
    callbacks = [build(callback) for callback in cfg.callbacks.values() if callback]
    if not any(isinstance(callback, StepCheckpoints) for callback in callbacks):
        raise DeblurzooError(
            "callbacks.checkpoints is missing, so nothing would be saved: keep it; "
            f"callbacks.checkpoints.every={cfg.trainer.max_steps} saves the last step alone"
        )
    trainer: pl.Trainer = build(
        cfg.trainer,
        callbacks=[*callbacks, requeue],
        logger=False,  # one process logs, see `_fit_logged`
        plugins=[AtomicCheckpointIO(), *slurm_plugins()],
        val_check_interval=cfg.trainer.val_check_interval * cfg.trainer.accumulate_grad_batches,  # Lightning's batches
        reload_dataloaders_every_n_epochs=1,  # an epoch that something ended is followed by the next step's samples
    )
    return trainer


def _ending(trainer: pl.Trainer) -> str:
    """Return how training that no signal stopped has ended: done, or before its last step and why.

    Raises:
        DeblurzooError: there is no checkpoint of the step at which it has ended.
    """
    step, last = trainer.global_step, trainer.max_steps
    if step >= last:
        return "done"
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    reason = next(filter(None, map(_reason_to_stop, callbacks)), "a callback stopped it")
    ended = f"ended at step {step} of {last} ({reason}"
    if not any(isinstance(callback, StepCheckpoints) and callback.file(step).is_file() for callback in callbacks):
        raise DeblurzooError(f"training {ended}) with nothing to save: let it run longer")
    return f"{ended}; resume=auto goes on)"


def _reason_to_stop(callback: pl.Callback) -> str | None:
    if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None and left <= 0:
        return "its time is over"
    if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
        return f"EarlyStopping on {callback.monitor}"
    return None


def _checked_data(cfg: DictConfig, module: DeblurModule, source: Source) -> DeblurDataModule:
    """Return the data of a run; what is wrong with them shows before anything is written."""
    datamodule: DeblurDataModule = build(cfg.datamodule, source=source, frames=module.net.frames, seed=cfg.seed)
    crop, multiple = datamodule.augmentation.crop, module.net.size_multiple
    if crop % multiple:
        raise DeblurzooError(f"datamodule.augmentation.crop={crop} must be a multiple of {multiple} for this network")
    datamodule.setup("fit")
    return datamodule


def _fit_logged(
    trainer: pl.Trainer, module: DeblurModule, datamodule: DeblurDataModule, cfg: DictConfig, start: Path | None
) -> None:
    """Train with the loggers of the config, which the first process alone has; tell what ends it from outside."""
    try:
        if trainer.is_global_zero:
            trainer.loggers = [build(logger) for logger in cfg.logger.values() if logger]
        for logger in trainer.loggers:
            logger.log_hyperparams(plain(cfg))
        trainer.fit(module, datamodule, ckpt_path=start, weights_only=True)
    except Exception as error:
        if cause := _cause(error, trainer, start):
            raise cause from error
        raise


def _cause(error: Exception, trainer: pl.Trainer, start: Path | None) -> BaseException | None:
    """Return what to raise for an error that only shows what has happened elsewhere; None for any other."""
    if isinstance(error, DeblurzooError):
        return None
    if trainer.received_sigterm:  # which ends the processes that compile or read frames, too
        return SystemExit(1)
    if failure := reader_failure(error):
        return failure
    if trainer.world_size > 1 and (isinstance(error, DistError) or "gloo" in str(error)):
        return DeblurzooError(
            f"another process of this run has ended ({first_line(error)}): see what it says; resume=auto goes on "
            "from the last checkpoint"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DeblurzooError(f"{error}: free space or choose another folder; resume=auto goes on")
    if trainer.train_dataloader is None:
        what = f"go on from {start}" if start else "begin"
        remedy = "the checkpoint is damaged or the settings are wrong" if start else "the settings are wrong"
        return DeblurzooError(f"training cannot {what} ({error!r}): if that says nothing else, {remedy}")
    failed_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if failed_in.is_relative_to(Path(torch.optim.__file__).parent):
        return DeblurzooError(
            f"the optimiser cannot take a step ({error!r}): set model.optimizer as it was when the run began, or, for "
            "a new run, choose another one"
        )
    return None


def _take_over(run: Path, cfg: DictConfig) -> None:
    """Make a run folder this process's own, and write what is known of the run."""
    claim(run)
    for leftover in run.glob("checkpoints/.*.tmp"):  # of a killed process
        leftover.unlink()
    write_atomically(run / CONFIG, OmegaConf.to_yaml(cfg, resolve=True).encode())
    write_atomically(run / IDENTITY, Identity(id=cfg.run_id, name=cfg.label).as_json())


def resume_point(resume: str | None, run: Path) -> Path | None:
    """Return the checkpoint to start from: None, the newest of the run folder (`auto`), or the one given.

    Raises:
        DeblurzooError: the run folder has checkpoints but `resume` does not say what to do with them, or `resume` is
            no checkpoint that training goes on from.
    """
    newest = find_checkpoint(run)
    if resume == "auto":
        return newest
    given = checkpoint_of(Path(resume)) if resume else None
    if given and is_export(given):
        raise DeblurzooError(
            f"resume={resume} is an export, which has the weights alone: evaluate it, deblur with it or export it; "
            "training goes on from a run folder or a .ckpt file"
        )
    if newest is not None and (given is None or given.resolve().parent != newest.resolve().parent):
        raise DeblurzooError(
            f"{run} holds a run already ({newest.name}): resume=auto continues it, name=OTHER starts a new one"
        )
    return given


def _identity(resume: str | None, run: Path) -> str:
    """Return the id of a run without checkpoints: its own if it was stopped before the first, else a new one."""
    begun = resume == "auto" and (run / IDENTITY).is_file()
    return identity_of(run).id if begun else secrets.token_hex(4)


def require_same_run(checkpoint: dict[str, Any], module: DeblurModule, source: Source, ema: bool, path: str) -> None:
    """Raise a DeblurzooError that names what differs if the checkpoint holds another network or saw another blur."""
    facts, arguments = checkpoint["deblurzoo"], checkpoint["hyper_parameters"]
    network, optimizer = name_of(type(module.net)), module.hparams["optimizer"]["class"]
    theirs = {"module": current(facts["module"]), "network": facts.get("network", network), **arguments["net"]}
    ours = {"module": name_of(type(module)), "network": network, **module.hparams["net"]}
    theirs["model.optimizer"], ours["model.optimizer"] = arguments["optimizer"].get("class", ADAM), optimizer
    theirs["callbacks.ema"], ours["callbacks.ema"] = "current_model_state" in checkpoint, ema
    theirs["data.blur"], ours["data.blur"] = facts["blur_folder"], source.blur_folder
    differing = [
        f"{key}: {theirs.get(key)} in the checkpoint, {ours.get(key)} in the config"
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key) != ours.get(key)
    ]
    if differing:
        raise DeblurzooError(
            f"{path} is a checkpoint of another network or run ({'; '.join(differing)}): "
            "set these as they were, or start without resume"
        )


def require_same_pictures(checkpoint: dict[str, Any], ours: dict[str, str], path: str) -> None:
    """Raise a DeblurzooError that names both places if the checkpoint was trained on other pictures than ours.

    Pictures may be moved, copied and packed in between; a checkpoint of version 0.1 does not say which it saw.
    """
    theirs = checkpoint["deblurzoo"].get("data")
    if theirs and theirs["fingerprint"] != ours["fingerprint"]:
        raise DeblurzooError(
            f"{path} was trained on other pictures ({theirs['place']} then, {ours['place']} now): set the data set as "
            "it was, or train anew under another name"
        )


def build_module(cfg: DictConfig) -> DeblurModule:
    """Build the module of a config.

    Raises:
        DeblurzooError: `_target_` names something else, or an argument is nothing that a checkpoint could have.
    """
    target = str(cfg.get("_target_"))
    if not issubclass(imported(target, nn.Module), DeblurModule):
        raise DeblurzooError(
            f"model._target_={target} is no DeblurModule: a network of your own goes below net, as in model/mine.yaml: "
            f"defaults: [base, _self_], net: {{_target_: {target}, …}}"
        )
    module: DeblurModule = build(cfg, recursive=False)
    try:
        require_plain(dict(module.hparams), "model")
    except ValueError as error:
        raise DeblurzooError(f"{error}: checkpoints have numbers, texts, lists and dicts of them alone") from error
    return module


def _require_settings(cfg: DictConfig) -> None:
    """Raise a DeblurzooError for what is missing or wrong, before anything is built."""
    choose_blur(cfg.data, cfg.blur)
    require_values(cfg)
    require_shape(cfg, Evaluating)
    for key in ("max_steps", "accumulate_grad_batches", "val_check_interval", "log_every_n_steps"):
        require_at_least(f"trainer.{key}", cfg.trainer[key], 1)
    require_shape(cfg, Training)
    require_at_least("seed", cfg.seed, 0)
    require_metrics(cfg.metrics)
    cfg.trainer.log_every_n_steps = min(cfg.trainer.log_every_n_steps, cfg.trainer.max_steps)
    require_trainer(cfg.trainer)
    if cfg.compile:
        require_compiler(cfg.trainer.accelerator)
    _refuse_sweep_on_many_devices(cfg)


def _refuse_sweep_on_many_devices(cfg: DictConfig) -> None:
    """Lightning's launcher would run the whole command line, the sweep included, once per device."""
    if HydraConfig.get().mode == RunMode.MULTIRUN and not is_one(cfg.trainer.devices):
        raise DeblurzooError(
            f"a multirun with trainer.devices={cfg.trainer.devices} would start the whole sweep on each device: "
            "set trainer.devices=1 or run the jobs one by one"
        )


def _require_processes(trainer: pl.Trainer) -> None:
    """Raise unless torchrun or srun, if it started this process, started one for each device."""
    devices = trainer.num_devices * trainer.num_nodes
    if trainer.world_size != devices:
        raise DeblurzooError(
            f"{trainer.world_size} processes were started for trainer.devices={trainer.num_devices} on "
            f"trainer.num_nodes={trainer.num_nodes}: start one process for each device"
        )


main = hydra_main("train")(train)

if __name__ == "__main__":
    main()
