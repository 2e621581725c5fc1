"""Prepared evaluations: the test images, the network or the restored images, and the metadata."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import rich.console
import rich.table
import rich.text

from deblurzoo import shipped
from deblurzoo.callbacks import BEST
from deblurzoo.commands.hydra_app import make
from deblurzoo.commands.job_names import below_runs
from deblurzoo.commands.settings import Evaluating
from deblurzoo.data import Source
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.data.restored import RestoredImages, find_restored
from deblurzoo.errors import DeblurzooError, few_of, require_utf8
from deblurzoo.files import sha256
from deblurzoo.metrics import versions
from deblurzoo.metrics.protocols import MEASURES
from deblurzoo.nets.base import DeblurNet
from deblurzoo.reports.results import Facts
from deblurzoo.reports.run_folder import folder_for, name_of
from deblurzoo.training.checkpoints import WEIGHTS, load_net
from deblurzoo.training.module import ReadingModule, RestoringModule
from deblurzoo.training.precision import FULL
from deblurzoo.version import __version__

log = logging.getLogger(__name__)

Build = Callable[..., Any]
"""`make` or `deblurzoo.config.build`."""
MATCHES = "matches.csv"
"""File with the image file of each frame, for images that another program restored."""
SWITCHES = {"disable_rnn": ("disable_rnn", True), "same_frame": ("same_frame", True), "no_tlc": ("tlc", None)}
"""Argument and value of the network that each `switch` sets."""


@dataclass(frozen=True)
class Evaluation:
    """A prepared evaluation.

    Args:
        settings, facts: the config and the metadata.
        datamodule: the test images.
        module: restores a frame, or reads its restored image.
        folder: folder of the evaluated run or images.
        images: the images that another program restored; None for a network.
    """

    settings: Evaluating
    facts: Facts
    datamodule: DeblurDataModule
    module: pl.LightningModule
    folder: Path
    images: RestoredImages | None = None

    def usual_folder(self) -> Path:
        """Return the default folder of the results; raise a DeblurzooError if images are named like a training."""
        if self.images and (self.folder / "checkpoints").exists():
            raise DeblurzooError(f"{self.folder} is the folder of a training: choose another name, or set out=DIR")
        return folder_for(self.folder / "evaluate", _kind(self.settings, self.datamodule.source), self.facts)


def of_network(settings: Evaluating, path: Path, trained: dict[str, Any], built: Build = make) -> Evaluation:
    """Return the evaluation of the network in the file `path`, whose content `read_trained` returned.

    Data set and data module are created by `built`: `make` for the user's own config, `build` for the config of a file.
    """
    net = load_net(trained, path)
    arguments = trained["hyper_parameters"]["net"]
    if settings.switch:
        arguments = {**arguments, **turn_on(net, settings.switch)}
    if settings.self_ensemble:
        arguments = {**arguments, "self_ensemble": True}
    datamodule = _test_data(settings, net.frames, settings.no_harm, built)
    if settings.compile:
        net.compile()
    folder = run_folder(path, runs_of(settings))
    best = "best" if path.name == BEST else None
    names = (name_of(folder), best, settings.switch, _ensemble(settings), _low(settings))
    subject = {
        "name": " ".join(filter(None, names)),
        "network": describe_network(net, arguments),
        "checkpoint": {
            "file": str(shipped.shown(path)),
            "step": trained["global_step"],
            "sha256": sha256(path),
            "lineage": trained["deblurzoo"].get("lineage"),
            "origin": trained["deblurzoo"].get("origin"),
        },
    }
    module = RestoringModule(net, settings.self_ensemble)
    return Evaluation(settings, _facts(settings, datamodule, subject), datamodule, module, folder)


def of_images(settings: Evaluating, built: Build = make, frames: int = 1) -> Evaluation:
    """Return the evaluation of images that another program restored, and print the matches of files and frames.

    Args:
        settings: the config.
        built: see `of_network`.
        frames: number of input frames of the program: frames of a clip that lack neighbours are not expected.
    """
    given = Path(str(settings.restored))
    require_utf8(given)
    if low := _low(settings):
        raise DeblurzooError(f"trainer.precision={low} has no effect with restored: omit it")
    name = settings.name or given.resolve().name
    datamodule = _test_data(settings, frames, 0, built)
    images = find_restored(given, datamodule.test_samples)
    print_matches(images)
    subject: dict[str, Any] = {
        "name": name,
        "network": {"class": "RestoredImages", "arguments": {}, "parameters": None},
        "checkpoint": {"file": str(given), "step": 0, "sha256": images.sha256()},
        "source": settings.source,
    }
    folder = runs_of(settings) / below_runs("name", name)
    facts = _facts(settings, datamodule, subject)
    return Evaluation(settings, facts, datamodule, ReadingModule(images.files), folder, images)


def print_matches(images: RestoredImages) -> None:
    """Print the forms of the names by which images were matched with frames, and warn about additional images."""
    table = rich.table.Table("matched by", "images", "example")
    for row in images.summary():
        table.add_row(*map(rich.text.Text, row))
    rich.console.Console().print(table)
    if images.additional:
        names = few_of([str(path.relative_to(images.folder)) for path in images.additional])
        log.warning("%d additional images of %s are not used: %s", len(images.additional), images.folder, names)


def _test_data(settings: Evaluating, frames: int, no_harm: int, built: Build) -> DeblurDataModule:
    """Return the data module of the test images for a network of `frames` input frames."""
    source: Source = built(settings.data.content, Source, "data")
    given = {"source": source, "frames": frames, "seed": 0, "no_harm": no_harm}
    datamodule: DeblurDataModule = built(settings.datamodule.content, DeblurDataModule, "datamodule", **given)
    datamodule.setup("test")
    return datamodule


def _facts(settings: Evaluating, datamodule: DeblurDataModule, subject: dict[str, Any]) -> Facts:
    return Facts.model_validate(
        {
            **subject,
            **_conditions(settings, datamodule.source),
            "data": datamodule.measured_on,
            "metric_versions": versions(MEASURES[datamodule.source.measure].names(settings.metrics)),
            "deblurzoo": __version__,
            "config": settings.content,
        }
    )


def runs_of(settings: Evaluating) -> Path:
    """Return the folder of runs."""
    return Path(str(settings.content["paths"]["runs"]))


def run_folder(file: Path, runs: Path = Path()) -> Path:
    """Return the folder for evaluations of a checkpoint: its run or export folder, or its path without the suffix.

    For a network that is part of deblurzoo, the folder is `runs`/NAME.
    """
    if (name := shipped.shown(file)) != file:
        return runs / name
    folder = file.parent.resolve()
    if file.name == WEIGHTS:
        return file.parent
    is_runs = fnmatch(file.name, "step_*.ckpt") or (folder.parent / "run.json").is_file()
    if folder.name == "checkpoints" and is_runs:
        return file.parent.parent if file.parent.name not in ("", "..") else folder.parent
    return file.with_name(file.stem if file.suffix else f"{file.name}_evaluated")


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
        "independent": source.independent,
        "common_frames": source.common_frames,
        "rounding": f"uint8, {settings.rounding}",
    }


def _kind(settings: Evaluating, source: Source) -> str:
    """Return the default folder name of an evaluation. The name lists the conditions of the evaluation."""
    common = f"common{source.common_frames}" if source.common_frames else None
    rounding = settings.rounding if settings.rounding != "nearest" else None
    changes = (settings.switch, _ensemble(settings), rounding, _low(settings))
    return "_".join(filter(None, (source.protocol, source.blur_folder, common, *changes)))


def _ensemble(settings: Evaluating) -> str | None:
    """Return the name of the self-ensemble if it is used."""
    return "self_ensemble" if settings.self_ensemble else None


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
