"""`deblurzoo evaluate`: evaluate a trained network on a test split."""

import logging
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from deblurzoo.callbacks import BEST, ResultsWriter, StepProgress
from deblurzoo.commands.hydra_app import blur_choice, make, quiet_lightning, settled
from deblurzoo.commands.processes import on_free_devices
from deblurzoo.commands.settings import Evaluating
from deblurzoo.data import Source
from deblurzoo.data.batches import default_workers, told_reader_failures
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.errors import DeblurzooError, on_interrupt, require_utf8
from deblurzoo.files import require_output, sha256, user_path
from deblurzoo.metrics.protocols import MEASURES
from deblurzoo.nets.base import DeblurNet
from deblurzoo.ops.spatial_rnn import require_backend
from deblurzoo.reports.results import RESULTS, Facts
from deblurzoo.reports.run_folder import folder_for, is_finished, name_of, require_free
from deblurzoo.reports.table import print_table
from deblurzoo.training.checkpoints import WEIGHTS, checkpoint_of, load_net, read_trained
from deblurzoo.training.module import RestoringModule
from deblurzoo.training.precision import AUTO, FULL, is_one, require_compiler, require_trainer
from deblurzoo.version import __version__

log = logging.getLogger(__name__)

SWITCHES = {"disable_rnn": ("disable_rnn", True), "same_frame": ("same_frame", True), "no_tlc": ("tlc", None)}
"""Argument and value of the network that each `switch` sets."""


def run(cfg: DictConfig) -> None:
    """Run the evaluation, even if finished results exist."""
    with on_free_devices(cfg, user_path(str(cfg.checkpoint))) as on_devices:
        evaluate(on_devices)


def evaluate(cfg: DictConfig, anew: bool = True) -> Path:
    """Restore the test split of `cfg.data` with the network of `cfg.checkpoint`; write PNGs and `results.json`.

    An interrupted evaluation is resumed. Earlier results for other images, conditions or checkpoints are kept.

    Args:
        cfg: config composed from `conf/evaluate.yaml`.
        anew: repeat an evaluation that is already finished.

    Returns:
        The path of `results.json`.
    """
    quiet_lightning()
    path = checkpoint_of(user_path(str(cfg.checkpoint)))
    require_utf8(path)
    trained = read_trained(path)
    settings = begin(cfg, trained)
    folder = run_folder(path)
    parent = Path(settings.out) if settings.out else folder / "evaluate"
    require_output(parent, f"out={parent}")
    net = load_net(trained, path)
    arguments = trained["hyper_parameters"]["net"]
    if settings.switch:
        arguments = {**arguments, **turn_on(net, settings.switch)}
    source: Source = make(settings.data.content, Source, "data")
    given = {"source": source, "frames": net.frames, "seed": 0, "no_harm": settings.no_harm}
    datamodule = make(settings.datamodule.content, DeblurDataModule, "datamodule", **given)
    datamodule.setup("test")
    if settings.compile:
        net.compile()

    best = "best" if path.name == BEST else None
    facts = Facts.model_validate(
        {
            "name": " ".join(filter(None, (name_of(folder), best, settings.switch, _low(settings)))),
            "network": describe_network(net, arguments),
            "checkpoint": {
                "file": str(path),
                "step": trained["global_step"],
                "sha256": sha256(path),
                "lineage": trained["deblurzoo"].get("lineage"),
            },
            **_conditions(settings, source),
            "data": datamodule.measured_on,
            "deblurzoo": __version__,
            "config": settings.content,
        }
    )
    out = parent if settings.out else folder_for(parent, _kind(settings, source), facts)
    require_free(out, facts)
    metrics = MEASURES[source.measure].names(settings.metrics)
    if not anew and is_finished(out, facts, metrics):
        return out / RESULTS
    writer = ResultsWriter(out, facts, datamodule.test_samples, metrics, settings.pictures, threads=default_workers())
    datamodule.measured = writer.measured
    if writer.measured:
        log.info("resuming %s: %d of %d images are measured", out, writer.measured, len(datamodule.test_samples))
    if writer.measured < len(datamodule.test_samples):
        callbacks = [writer, StepProgress()]
        trainer = make(settings.trainer.content, pl.Trainer, "trainer", callbacks=callbacks, logger=False)
        state = "{} of {} images of {} are measured; the same command resumes"
        with told_reader_failures(), on_interrupt(lambda: state.format(writer.written, len(writer.samples), out)):
            trainer.test(RestoringModule(net), datamodule, verbose=False)
    print_table([writer.finish()])
    print(f"values per image: {out / RESULTS}")
    if settings.pictures:
        print(f"pictures:         {out / 'side_by_side'}")
    return out / RESULTS


def run_folder(file: Path) -> Path:
    """Return the folder for evaluations of a checkpoint: its run or export folder, or its path without the suffix."""
    folder = file.parent.resolve()
    if file.name == WEIGHTS:
        return file.parent
    is_runs = fnmatch(file.name, "step_*.ckpt") or (folder.parent / "run.json").is_file()
    if folder.name == "checkpoints" and is_runs:
        return file.parent.parent if file.parent.name not in ("", "..") else folder.parent
    return file.with_name(file.stem if file.suffix else f"{file.name}_evaluated")


def begin(cfg: DictConfig, trained: dict[str, Any]) -> Evaluating:
    """Return the complete config. A missing blur folder is set as in training; precision `auto` means full precision.

    Raises:
        DeblurzooError: a value of the config is missing or invalid.
    """
    # For a network trained on several data sets, `blur_folder` is their blur folders joined by +, GOPRO's first.
    trained_on = trained["deblurzoo"]["blur_folder"].partition("+")[0]
    if chosen := blur_choice(cfg.data, trained_on):
        log.info("using the blurry frames of %s/, as in training", trained_on)
    settings = settled(cfg, Evaluating, data=chosen)
    if not is_one(settings.trainer.devices):
        raise DeblurzooError(
            f"trainer.devices={settings.trainer.devices}: several devices would measure some frames "
            "twice; set trainer.devices=1"
        )
    require_backend()
    require_trainer(settings.trainer.content)
    if settings.compile:
        require_compiler(settings.trainer.accelerator)
    if settings.trainer.precision == AUTO:
        exact = settings.trainer.model_copy(update={"precision": FULL})
        settings = settings.model_copy(update={"trainer": exact})
    return settings


def _conditions(settings: Evaluating, source: Source) -> dict[str, Any]:
    """Return the conditions that must agree for results to be comparable.

    Warn if the results are not comparable with published results.
    """
    incomplete = source.incomplete_clips("test")
    if incomplete:
        log.warning(
            "%d of %d official test clips are missing or too short (deblurzoo data check lists these clips): "
            "the results are not comparable with published results",
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
        "rounding": f"uint8, {settings.rounding}",
    }


def _kind(settings: Evaluating, source: Source) -> str:
    """Return the default folder name of an evaluation. The name lists the conditions of the evaluation."""
    common = f"common{source.common_frames}" if source.common_frames else None
    rounding = settings.rounding if settings.rounding != "nearest" else None
    return "_".join(
        filter(None, (source.protocol, source.blur_folder, common, settings.switch, rounding, _low(settings)))
    )


def _low(settings: Evaluating) -> str | None:
    """Return the precision, or None for full precision."""
    return None if settings.trainer.precision == FULL else str(settings.trainer.precision)


def turn_on(net: DeblurNet, switch: str) -> dict[str, Any]:
    """Modify a network at inference, and return the changed argument.

    `disable_rnn` is from the SVRNN paper (Fig. 7b), `same_frame` from the FlowRNN paper (Fig. 6b), `no_tlc` from the
    NAFNet paper (Table 4).
    """
    name, value = SWITCHES[switch]
    alone = switch == "same_frame" and net.frames == 1
    if getattr(net, name, value) == value or alone:
        raise DeblurzooError(
            f"switch={switch} has no effect on this {type(net).__name__}: disable_rnn is for SVRNN, same_frame is for "
            "FlowRNN with more than one input frame, and no_tlc is for NAFNet with tlc"
        )
    setattr(net, name, value)
    return {name: value}


def describe_network(net: DeblurNet, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the class, keyword arguments and number of parameters of a network."""
    return {
        "class": type(net).__name__,
        "arguments": arguments,
        "parameters": sum(p.numel() for p in net.parameters()),
    }
