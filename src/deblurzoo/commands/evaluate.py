"""`deblurzoo evaluate`: measure a trained network on a test split."""

import hashlib
import logging
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, ListConfig, OmegaConf

from deblurzoo import __version__
from deblurzoo.callbacks import ResultsWriter, StepProgress
from deblurzoo.commands.hydra_app import (
    build,
    choose_blur,
    hydra_main,
    plain,
    quiet_lightning,
    require_shape,
    require_values,
)
from deblurzoo.data import Source
from deblurzoo.data.batches import default_workers, told_reader_failures
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.errors import DeblurzooError, require_at_least, require_utf8
from deblurzoo.metrics import metric
from deblurzoo.metrics.protocols import MEASURES
from deblurzoo.nets.base import DeblurNet
from deblurzoo.records import Evaluating
from deblurzoo.reports.results import RESULTS, Facts
from deblurzoo.reports.run_folder import folder_for, is_finished, name_of, require_free
from deblurzoo.reports.table import print_table
from deblurzoo.training.checkpoints import WEIGHTS, checkpoint_of, load_net, read_trained
from deblurzoo.training.module import RestoringModule
from deblurzoo.training.precision import AUTO, FULL, is_one, require_compiler, require_trainer

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig, anew: bool = True) -> Path:
    """Restore the test split of `cfg.data` with the network of `cfg.checkpoint`; write PNGs and `results.json`.

    The same command goes on where a killed one stopped. Results of other pictures, conditions or checkpoints stay.

    Args:
        cfg: of `conf/evaluate.yaml`.
        anew: measure again what is measured already.

    Returns:
        The `results.json`.
    """
    quiet_lightning()
    _require_settings(cfg)
    path = checkpoint_of(Path(cfg.checkpoint))
    require_utf8(path)
    checkpoint = read_trained(path)
    net = load_net(checkpoint, path)
    arguments = checkpoint["hyper_parameters"]["net"]
    if cfg.switch:
        turn_on(net, cfg.switch)
        arguments = {**arguments, cfg.switch: True}
    _choose_blur(cfg.data, checkpoint)
    require_values(cfg)
    require_shape(cfg, Evaluating)
    source: Source = build(cfg.data)
    datamodule: DeblurDataModule = build(cfg.datamodule, source=source, frames=net.frames, seed=0, no_harm=cfg.no_harm)
    datamodule.setup("test")
    if cfg.compile:
        net.compile()

    run = run_folder(path)
    facts = Facts.model_validate(
        {
            "name": " ".join(filter(None, (name_of(run), cfg.switch, _low(cfg)))),
            "network": describe_network(net, arguments),
            "checkpoint": {"file": str(path), "step": checkpoint["global_step"], "sha256": sha256(path)},
            **_conditions(cfg, source),
            "data": datamodule.measured_on,
            "deblurzoo": __version__,
            "config": plain(cfg),
        }
    )
    out = Path(cfg.out) if cfg.out else folder_for(run / "evaluate", _kind(cfg, source), facts)
    require_free(out, facts)
    metrics = MEASURES[source.measure].names(cfg.get("metrics"))
    if not anew and is_finished(out, facts, metrics):
        return out / RESULTS
    writer = ResultsWriter(out, facts, datamodule.test_samples, metrics, cfg.pictures, threads=default_workers())
    datamodule.measured = writer.measured
    if writer.measured:
        log.info("going on with %s: %d of %d are measured", out, writer.measured, len(datamodule.test_samples))
    if writer.measured < len(datamodule.test_samples):
        trainer: pl.Trainer = build(cfg.trainer, callbacks=[writer, StepProgress()], logger=False)
        with told_reader_failures():
            trainer.test(RestoringModule(net), datamodule, verbose=False)
    print_table([writer.finish()])
    print(f"per image: {out / RESULTS}\npictures:  {out / 'side_by_side'}")
    return out / RESULTS


def run_folder(file: Path) -> Path:
    """Return the folder of all that is known of a trained network: its run, its export, or for a bare file its stem."""
    folder = file.parent.resolve()
    if file.name == WEIGHTS:
        return file.parent
    is_runs = fnmatch(file.name, "step_*.ckpt") or (folder.parent / "run.json").is_file()
    if folder.name == "checkpoints" and is_runs:
        return file.parent.parent if file.parent.name not in ("", "..") else folder.parent
    return file.with_name(file.stem if file.suffix else f"{file.name}_evaluated")


def _require_settings(cfg: DictConfig) -> None:
    """Raise a DeblurzooError for what is missing or wrong, before anything is read."""
    if not is_one(cfg.trainer.devices):
        raise DeblurzooError(
            f"trainer.devices={cfg.trainer.devices}: several devices would measure some frames twice; set 1"
        )
    if OmegaConf.is_missing(cfg, "checkpoint") or not isinstance(cfg.checkpoint, str):
        raise DeblurzooError(
            "checkpoint is not set: give checkpoint=RUN_FOLDER, checkpoint=FILE.ckpt or checkpoint=EXPORT_FOLDER"
        )
    if cfg.rounding not in ("nearest", "floor"):
        raise DeblurzooError(f"rounding={cfg.rounding} is unknown: choose nearest, or floor as SRN's script does")
    require_at_least("pictures", cfg.pictures, 0)
    require_metrics(cfg.get("metrics"))
    require_trainer(cfg.trainer)
    if cfg.trainer.precision == AUTO:
        cfg.trainer.precision = FULL
    if cfg.compile:
        require_compiler(cfg.trainer.accelerator)


def require_metrics(chosen: Any) -> None:
    """Raise a DeblurzooError unless this is a list of metrics that are known, or None."""
    if not isinstance(chosen, list | ListConfig | None):
        raise DeblurzooError(f"metrics={chosen} must be a list: metrics=[{chosen}]")
    for name in chosen or ():
        metric(str(name))


def _conditions(cfg: DictConfig, source: Source) -> dict[str, Any]:
    """Return what figures must have in common to be compared; warn where they cannot be with published ones."""
    incomplete = source.incomplete_clips("test")
    if incomplete:
        log.warning(
            "%d of %d official test clips are missing or short (deblurzoo data check names them): "
            "the figures are not comparable with published ones",
            len(incomplete),
            len(source.official["test"]),
        )
    return {
        "dataset": source.name,
        "protocol": source.protocol,
        "measure": source.measure,
        "split": "test",
        "blur_folder": source.blur_folder,
        "incomplete_clips": incomplete,
        "common_frames": source.common_frames,
        "rounding": f"uint8, {cfg.rounding}",
    }


def _choose_blur(data: DictConfig, checkpoint: dict[str, Any]) -> None:
    """Take the blur folder that the network was trained on, where the command line names none."""
    # A network trained on several data sets has seen several folders, GOPRO's first.
    trained_on = checkpoint["deblurzoo"]["blur_folder"].partition("+")[0]
    if choose_blur(data, trained_on):
        log.info("blurry frames of %s/, as the network was trained", trained_on)


def _kind(cfg: DictConfig, source: Source) -> str:
    """Return the conditions of an evaluation as the usual name of its folder."""
    common = f"common{source.common_frames}" if source.common_frames else None
    rounding = cfg.rounding if cfg.rounding != "nearest" else None
    return "_".join(filter(None, (source.protocol, source.blur_folder, common, cfg.switch, rounding, _low(cfg))))


def _low(cfg: DictConfig) -> str | None:
    """Return the precision where it is not the usual one."""
    return None if cfg.trainer.precision == FULL else str(cfg.trainer.precision)


def turn_on(net: DeblurNet, switch: str) -> None:
    """Turn on an inference switch of the papers' figures."""
    alone = switch == "same_frame" and net.frames == 1
    if switch not in ("disable_rnn", "same_frame") or not hasattr(net, switch) or alone:
        raise DeblurzooError(
            f"switch={switch} does nothing to this {type(net).__name__}: disable_rnn is SVRNN's, same_frame is "
            "FlowRNN's with more than one frame"
        )
    setattr(net, switch, True)


def describe_network(net: DeblurNet, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return class, keyword arguments and size of a network."""
    return {
        "class": type(net).__name__,
        "arguments": arguments,
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


main = hydra_main("evaluate")(evaluate)

if __name__ == "__main__":
    main()
