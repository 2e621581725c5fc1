"""`deblurzoo train`: train a network."""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from torch import nn

from deblurzoo.callbacks import (
    AtomicCheckpointIO,
    Compute,
    CtrlC,
    SlurmRequeue,
    StepCheckpoints,
    StepStatus,
    slurm_plugins,
)
from deblurzoo.commands.hydra_app import blur_choice, is_sweep, make, quiet_lightning, run_verb, settled
from deblurzoo.commands.processes import end_with_parent, on_free_devices, train_in_processes
from deblurzoo.commands.settings import Training
from deblurzoo.commands.sweep import evaluated, job
from deblurzoo.commands.user_configs import require_own_network
from deblurzoo.config import require_plain
from deblurzoo.data import Source
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.errors import DeblurzooError, Interrupted, interruptible, on_interrupt, require_utf8
from deblurzoo.extensions import imported
from deblurzoo.files import require_output, take_over, user_path, write_atomically
from deblurzoo.ops.spatial_rnn import require_backend
from deblurzoo.records import shown, typed
from deblurzoo.reports.artifacts import use_data
from deblurzoo.reports.run_folder import CONFIG, config_of, identity_of, trial_id, write_identity
from deblurzoo.reports.wandb import finish_wandb, mark_preempted
from deblurzoo.training.cores import free_cores
from deblurzoo.training.devices import is_cuda, is_free, selected
from deblurzoo.training.failures import cause, reason_to_stop
from deblurzoo.training.initial import initialise
from deblurzoo.training.module import DeblurModule
from deblurzoo.training.precision import is_one, require_compiler, require_trainer, settled_precision
from deblurzoo.training.resume import Start, run_id, starting_point

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> float | None:
    """Train `cfg.model` in the run folder `cfg.run`; in a sweep or by request, also evaluate and return the PSNR."""
    folder = Path(cfg.run)
    require_utf8(folder)
    if is_sweep() and trial_id():
        raise DeblurzooError("`wandb agent` starts one trial per command: remove -m from the command of its sweep")
    folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    exit_code = 1
    end_with_parent()
    try:
        if is_sweep() or trial_id():
            psnr: float | None = job(cfg, folder, partial(fit, by_torchrun=True))
        else:
            with on_free_devices(cfg, folder) as on_devices:
                fit(on_devices, folder, by_torchrun=is_free(cfg.trainer.devices))
                psnr = evaluated(on_devices, folder) if cfg.evaluate_at_end else None
        exit_code = 0
        return psnr
    finally:
        finish_wandb(exit_code)


def fit(cfg: DictConfig, run: Path, by_torchrun: bool = False, **decided: Any) -> None:
    """Train `cfg.model` on `cfg.data` in a run folder, from scratch or from a checkpoint.

    Args:
        cfg: config composed from `conf/train.yaml`.
        run: the run folder.
        by_torchrun: start the processes of several devices by torchrun: Lightning would start the whole sweep, or a
            process that claims further devices, once per device.
        decided: keys and values that are merged into the config.
    """
    quiet_lightning()
    start, settings = begin(cfg, run, **decided)
    module, datamodule = module_and_data(settings, start)
    settings = settings.model_copy(update={"lineage": module.lineage})
    if start and start.is_finished(settings.trainer.max_steps, run):
        return
    requeue, ctrl_c = SlurmRequeue(), CtrlC()
    if by_torchrun and not is_one(settings.trainer.devices):
        devices = selected(settings.trainer.devices, settings.trainer.accelerator)
        if len(devices) > 1:
            datamodule.require_shares(len(devices))
            _fit_by_torchrun(run, settings, devices, requeue, decided)
            return
    trainer = make_trainer(settings, Compute(datamodule), requeue, ctrl_c)
    _require_processes(trainer)
    for saver in _savers(trainer):
        saver.require_monitored(module, settings.trainer.val_check_interval, settings.trainer.max_steps)
    datamodule.require_shares(trainer.world_size)
    if trainer.is_global_zero:
        _take_over(run, settings)
    parameters = sum(p.numel() for p in module.net.parameters())
    network = f"{type(module).__name__} with {parameters:,} parameters"
    log.info("%s: %s on %s, in %s", settings.name, network, datamodule.source.name, settings.trainer.precision)
    threads = start.facts.get("threads") if start else None
    try:
        with free_cores(settings.trainer.accelerator, threads), on_interrupt(partial(_saved, settings)):
            _fit_logged(trainer, module, datamodule, settings, start.path if start else None)
    except SystemExit:  # raised by Lightning on SIGTERM, with exit code 0
        if ctrl_c.arrived:
            raise Interrupted(_saved(settings)) from None
        log.warning("stopped by a signal at step %d: resume=auto resumes from the last checkpoint", trainer.global_step)
        # `wandb agent` stops a poor trial by SIGTERM, and would start it again if it were marked.
        if requeue.arrived or (trainer.received_sigterm and not trial_id()):
            mark_preempted()
        finish_wandb(1)
        requeue.hand_on()
        sys.exit(1)
    requeue.hand_on()
    log.info(
        "%s. Next: deblurzoo evaluate %s data=%s …",
        _ending(trainer),
        typed("checkpoint", run),
        settings.choices["data"],
    )


def begin(cfg: DictConfig, run: Path, **decided: Any) -> tuple[Start | None, Training]:
    """Return the checkpoint to resume from, and the complete config with its blur folder, precision and run id.

    Raises:
        DeblurzooError: a value of the config is missing or invalid.
    """
    resume = decided.get("resume", cfg.resume)
    resume = None if resume is None else str(user_path(str(resume)))
    if resume and Path(resume).resolve() == run.resolve():
        resume = "auto"
    _require_one_start(cfg, resume)
    start = starting_point(resume, run)
    open_data = {"data": blur_choice(cfg.data, cfg.blur), "init": _init(cfg, start, run)}
    settings = settled(cfg, Training, **decided, **open_data, run=str(run), run_id=run_id(start, resume, run))
    trainer = settings.trainer.content
    _require_one_device_to_evaluate(settings)
    require_backend()
    require_trainer(trainer)
    if settings.compile:
        require_compiler(trainer["accelerator"])
    begun = start.facts.get("precision") if start else None
    precision = settled_precision(trainer, begun, settings.model.optimizer.content)
    in_precision = settings.trainer.model_copy(update={"precision": precision})
    return start, settings.model_copy(update={"trainer": in_precision})


def _require_one_start(cfg: DictConfig, resume: str | None) -> None:
    """Raise a DeblurzooError for `init` together with another run's `resume`, or `init_partial` without `init`."""
    if cfg.init and resume not in (None, "auto"):
        raise DeblurzooError(
            f"resume={resume} and init={cfg.init} exclude each other: init starts a new run, which resume=auto resumes"
        )
    if cfg.init == "":
        raise DeblurzooError("init is empty: set init=RUN_OR_FILE, or omit it")
    if cfg.init_partial and not cfg.init:
        raise DeblurzooError("init_partial=true has no effect without init: set init=RUN_OR_FILE")


def _init(cfg: DictConfig, start: Start | None, run: Path) -> str | None:
    """Return `init` of the config; a run that is resumed keeps the one that it was started with.

    Raises:
        DeblurzooError: the run was started with another one.
    """
    given: str | None = cfg.init
    if not start or not (run / CONFIG).is_file():
        return given
    begun: str | None = config_of(run, "set name=OTHER to start a new run").content.get("init")
    if given not in (None, begun):
        raise DeblurzooError(
            f"init={given} has no effect on {run}, which was started with init={shown(begun)}: omit init, or set "
            "name=OTHER to start a new run"
        )
    return begun


def module_and_data(settings: Training, start: Start | None) -> tuple[DeblurModule, DeblurDataModule]:
    """Return the module and the data module. If one is invalid, raise a DeblurzooError before any file is written."""
    pl.seed_everything(settings.seed, verbose=False)
    module = make_module(settings.model.content)
    require_own_network()
    module.watch(settings.metrics or ())
    source: Source = make(settings.data.content, Source, "data")
    if start:
        start.require_same_run(module, source, ema="ema" in settings.callbacks)
        module.lineage = start.facts.get("lineage")
    elif settings.init:
        lineage = initialise(module, user_path(settings.init), settings.init_partial)
        log.info("initialised from %s", lineage.summary)
        module.lineage = lineage.model_dump()
    else:
        module.load_pretrained()
    given = {"source": source, "frames": module.net.frames, "seed": settings.seed}
    datamodule = make(settings.datamodule.content, DeblurDataModule, "datamodule", **given)
    crop, multiple = datamodule.augmentation.crop, module.net.size_multiple
    if crop % multiple:
        raise DeblurzooError(f"datamodule.augmentation.crop={crop} must be a multiple of {multiple} for this network")
    datamodule.setup("fit")
    if start:
        start.require_same_images(datamodule.trained_on)
    if settings.compile:
        module.net.compile()
    return module, datamodule


def make_module(config: dict[str, Any]) -> DeblurModule:
    """Return the module of a config.

    Raises:
        DeblurzooError: `_target_` is not a DeblurModule, or a checkpoint cannot store an argument.
    """
    target = config["_target_"]
    if not issubclass(imported(target, nn.Module), DeblurModule):
        raise DeblurzooError(
            f"model._target_={target} is not a DeblurModule: set your own network as model.net, for example by a file "
            f"model/mine.yaml with the lines `defaults: [base, _self_]` and `net: {{_target_: {target}, …}}`"
        )
    module = make(config, DeblurModule, "model")
    try:
        require_plain(dict(module.hparams), "model")
    except DeblurzooError as error:
        raise DeblurzooError(f"{error}: checkpoints store only numbers, strings, lists and dicts") from error
    return module


def make_trainer(settings: Training, *more: pl.Callback) -> pl.Trainer:
    """Return a Lightning trainer with the callbacks of the config, and with more callbacks.

    Raises:
        DeblurzooError: no callback saves checkpoints.
    """
    made = {
        name: make(callback.content, pl.Callback, f"callbacks.{name}")
        for name, callback in settings.callbacks.items()
        if callback
    }
    steps = settings.trainer
    if not any(isinstance(callback, StepCheckpoints) for callback in made.values()):
        raise DeblurzooError(
            "callbacks.checkpoints is missing, so nothing would be saved: keep this callback; to save "
            f"only the last step, set callbacks.checkpoints.every={steps.max_steps}"
        )
    counted = {
        "log_every_n_steps": min(steps.log_every_n_steps, steps.max_steps),
        "val_check_interval": steps.val_check_interval * steps.accumulate_grad_batches,  # Lightning counts batches
    }
    return make(
        {**steps.content, **counted},
        pl.Trainer,
        "trainer",
        callbacks=[*made.values(), StepStatus(settings.run), *more],
        logger=False,  # only one process logs, see `_fit_logged`
        plugins=[AtomicCheckpointIO(), *slurm_plugins()],
        reload_dataloaders_every_n_epochs=1,  # continue with the next sample after an epoch that ended early
    )


def _take_over(run: Path, settings: Training) -> None:
    """Lock a run folder for this process, and write the run's config and identity."""
    require_output(run / "checkpoints", f"the folder {run / 'checkpoints'}")
    take_over(run, "checkpoints/.*.tmp")
    content: str = yaml.safe_dump(settings.content, sort_keys=False, allow_unicode=True)
    write_atomically(run / CONFIG, content.encode())
    write_identity(run, settings.run_id, settings.label)


def _fit_logged(
    trainer: pl.Trainer, module: DeblurModule, datamodule: DeblurDataModule, settings: Training, start: Path | None
) -> None:
    """Train; only the first process uses the config's loggers. If the `cause` of an error is known, raise the cause."""
    try:
        if trainer.is_global_zero:
            loggers = {name: logger for name, logger in settings.logger.items() if logger}
            trainer.loggers = [make(one.content, Logger, f"logger.{name}") for name, one in loggers.items()]
        for logger in trainer.loggers:
            logger.log_hyperparams(settings.content)
        if trainer.is_global_zero:
            use_data(datamodule.source.name, datamodule.source.blur_folder, datamodule.trained_on)
        trainer.fit(module, datamodule, ckpt_path=start, weights_only=True)
    except Exception as error:
        if known := cause(error, trainer, start):
            raise known from error
        raise


def _fit_by_torchrun(
    run: Path, settings: Training, devices: list[int], requeue: SlurmRequeue, decided: dict[str, Any]
) -> None:
    """Train in a process for each device, and continue the W&B run, if any, for the evaluation."""
    requeue.postpone()
    try:
        with on_interrupt(partial(_saved, settings)):
            train_in_processes(run, devices, is_cuda(settings.trainer.accelerator), **decided)
    finally:
        requeue.hand_on()
    if wandb := settings.logger.get("wandb"):
        make({**wandb.content, "run_id": identity_of(run).id}, Logger, "logger.wandb")


def _ending(trainer: pl.Trainer) -> str:
    """Return the outcome of training: done, or the step and reason of an early end that no signal caused.

    Raises:
        DeblurzooError: training ended early, at a step without a checkpoint.
    """
    step, last = trainer.global_step, trainer.max_steps
    if step >= last:
        return "done"
    ended = f"ended at step {step} of {last} ({reason_to_stop(trainer)}"
    if not any(saver.file(step).is_file() for saver in _savers(trainer)):
        raise DeblurzooError(f"training {ended}) without a checkpoint: train for longer")
    return f"{ended}; resume=auto resumes training)"


def _saved(settings: Training) -> str:
    """Return the step of the newest checkpoint of an interrupted run, and the way to resume it."""
    again = "the same command" if settings.resume == "auto" or is_sweep() else "resume=auto"
    if steps := [int(file.stem[5:]) for file in Path(settings.run).glob("checkpoints/step_*.ckpt")]:
        return f"{settings.run} is saved at step {max(steps)} of {settings.trainer.max_steps}; {again} resumes it"
    return f"{settings.run} has no checkpoint yet; run the same command again"


def _savers(trainer: pl.Trainer) -> list[StepCheckpoints]:
    return [one for one in trainer.callbacks if isinstance(one, StepCheckpoints)]  # type: ignore[attr-defined]


def _require_one_device_to_evaluate(settings: Training) -> None:
    """Raise if a run on several devices is to be evaluated after training."""
    if (settings.evaluate_at_end or trial_id()) and not is_one(settings.trainer.devices):
        raise DeblurzooError(
            f"trainer.devices={settings.trainer.devices}: a run is evaluated on one device: set trainer.devices=1, or "
            "train without evaluate_at_end and run `deblurzoo evaluate` afterwards"
        )


def _require_processes(trainer: pl.Trainer) -> None:
    """Raise a DeblurzooError if torchrun or srun did not start one process for each device."""
    devices = trainer.num_devices * trainer.num_nodes
    if trainer.world_size != devices:
        raise DeblurzooError(
            f"{trainer.world_size} processes were started for trainer.devices={trainer.num_devices} on "
            f"trainer.num_nodes={trainer.num_nodes}: start one process for each device"
        )


if __name__ == "__main__":
    interruptible(partial(run_verb, "train", sys.argv[1:]), is_terminable=False)
