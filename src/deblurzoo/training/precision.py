"""Precision of training, and checks of the trainer's options, the device and the compiler."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.ops.bfloat16 import has_bfloat16
from deblurzoo.training.devices import selected

AUTO, FULL, LOW, HALF = "auto", "32-true", "bf16-mixed", "16-mixed"
_KNOWN = (AUTO, FULL, LOW, HALF)
"""Supported precisions. Lightning's other precisions round the weights of the spatial RNN or reject float32 images."""

_EPOCHS = {
    "fast_dev_run": "set debug=smoke",
    "max_epochs": "set trainer.max_steps",
    "min_epochs": "set trainer.max_steps",
    "limit_train_batches": "set trainer.max_steps",
    "limit_val_batches": "set datamodule.val_frames or, for no validation, trainer.val_check_interval above max_steps",
    "limit_test_batches": "use a smaller data set (data=folder)",
    "overfit_batches": "use a small data set (data=folder)",
    "check_val_every_n_epoch": "set trainer.val_check_interval",
    "reload_dataloaders_every_n_epochs": "remove this key; data loaders are rebuilt when necessary",
    "use_distributed_sampler": "remove this key; each batch is split between the devices",
    "enable_checkpointing": "set callbacks.checkpoints.every",
}
"""Keys of Lightning's trainer that count, limit or repeat epochs or samples, and the remedy for each key."""


def settled_precision(trainer: Mapping[str, Any], begun: str | None, optimizer: Mapping[str, Any]) -> str:
    """Return the precision of training; `auto` becomes the checkpoint's precision or, for a new run, the device's.

    Args:
        trainer, optimizer: sections of the config.
        begun: precision of the checkpoint to resume from, if known.

    Raises:
        DeblurzooError: the checkpoint's precision requires a GPU, or a fused optimiser does not support clipping
            in this precision.
    """
    precision = str(trainer["precision"])
    if precision == AUTO:
        if begun == HALF and (trainer["accelerator"] == "cpu" or not torch.cuda.is_available()):
            raise DeblurzooError(f"the run started in {HALF}, which requires a GPU: set trainer.precision=32-true")
        precision = begun if begun in (FULL, LOW, HALF) else training_precision(trainer["accelerator"])
    if trainer.get("gradient_clip_val") and optimizer.get("fused") and precision != FULL:
        raise DeblurzooError(
            f"a fused optimiser in {precision} does not support trainer.gradient_clip_val="
            f"{trainer['gradient_clip_val']}: set model.optimizer.fused=false or trainer.precision=32-true"
        )
    return precision


def is_one(devices: Any) -> bool:
    """Whether Lightning's `devices` selects a single device: 1, or a list of one index."""
    return devices in (1, "1") or (isinstance(devices, Sequence) and not isinstance(devices, str) and len(devices) == 1)


def require_compiler(accelerator: str) -> None:
    """Raise a DeblurzooError if torch.compile does not work, before any long computation or output."""
    device = "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8, device=device))
    except (RuntimeError, OSError) as error:
        raise DeblurzooError(
            f"compile=true: torch.compile does not work here ({first_line(error)}): install a C++ compiler and, for a "
            "GPU, Triton; or set compile=false or preset=null"
        ) from error


def require_trainer(trainer: Mapping[str, Any]) -> None:
    """Raise a DeblurzooError for an unsupported precision, a missing device, or a trainer key that counts epochs."""
    for key, instead in _EPOCHS.items():
        if trainer.get(key) not in (None, key == "enable_checkpointing"):
            raise DeblurzooError(
                f"trainer.{key}={trainer[key]} is not supported, because training is counted in steps: {instead}"
            )
    precision, accelerator = trainer["precision"], trainer["accelerator"]
    if precision not in _KNOWN:
        raise DeblurzooError(f"trainer.precision={precision} is not supported: choose one of {', '.join(_KNOWN)}")
    if precision == HALF and accelerator == "cpu":
        raise DeblurzooError("trainer.precision=16-mixed requires a GPU: choose auto, 32-true or bf16-mixed")
    if accelerator in ("gpu", "cuda") and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise DeblurzooError(f"trainer.accelerator={accelerator}: torch finds no GPU here: set trainer=cpu")
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise DeblurzooError("trainer.accelerator=mps: torch finds no Apple GPU here: set trainer=cpu or trainer=gpu")
    selected(trainer["devices"], accelerator)


def training_precision(accelerator: str) -> str:
    """Return Lightning's name of the fastest precision that trains as well as float32.

    Autocast to bfloat16 needs no loss scaling. Operations that lose accuracy in bfloat16 (the spatial RNN, whose
    weights may be near 1, and losses) stay in float32.

    Args:
        accelerator: `cpu`, `gpu` or Lightning's `auto`, which uses a GPU if available.
    """
    return LOW if has_bfloat16(accelerator) else FULL
