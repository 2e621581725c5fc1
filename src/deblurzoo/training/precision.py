"""In which precision networks run, on which device, and whether they can be compiled there."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from deblurzoo.errors import DeblurzooError, first_line

AUTO, FULL, LOW, HALF = "auto", "32-true", "bf16-mixed", "16-mixed"
_KNOWN = (AUTO, FULL, LOW, HALF)
"""Others of Lightning's would round the weights of the spatial RNN, or do not fit float32 pictures."""

_EPOCHS = {
    "fast_dev_run": "debug=smoke",
    "max_epochs": "trainer.max_steps",
    "min_epochs": "trainer.max_steps",
    "limit_train_batches": "trainer.max_steps",
    "limit_val_batches": "datamodule.val_frames, or, to validate never, a trainer.val_check_interval above max_steps",
    "limit_test_batches": "data of fewer frames (data=folder)",
    "overfit_batches": "data of few frames (data=folder)",
    "check_val_every_n_epoch": "trainer.val_check_interval",
    "reload_dataloaders_every_n_epochs": "nothing: data are read anew whenever that is needed",
    "use_distributed_sampler": "nothing: each batch is shared out between the devices",
    "enable_checkpointing": "callbacks.checkpoints.every",
}
"""Keys of Lightning's trainer that count, cut or repeat epochs or samples, and what to set instead."""


def settled_precision(trainer: Mapping[str, Any], begun: str | None, optimizer: Mapping[str, Any]) -> str:
    """Return the precision to train in: for `auto` the one that a run began in, or the device's.

    Args:
        trainer, optimizer: their configs.
        begun: the precision of the checkpoint to go on from, if there is one that says so.

    Raises:
        DeblurzooError: what was trained cannot go on in its precision here, or the optimiser cannot.
    """
    precision = str(trainer["precision"])
    if precision == AUTO:
        if begun == HALF and (trainer["accelerator"] == "cpu" or not torch.cuda.is_available()):
            raise DeblurzooError(f"the run began in {HALF}, which needs a GPU: set trainer.precision=32-true")
        precision = begun if begun in (FULL, LOW, HALF) else training_precision(trainer["accelerator"])
    if trainer.get("gradient_clip_val") and optimizer.get("fused") and precision != FULL:
        raise DeblurzooError(
            f"trainer.gradient_clip_val={trainer['gradient_clip_val']} cannot clip for a fused optimiser in "
            f"{precision}: set model.optimizer.fused=false or trainer.precision=32-true"
        )
    return precision


def is_one(devices: Any) -> bool:
    """Whether Lightning's `devices` are a single one: 1, or a list of the one to take."""
    return devices in (1, "1") or (isinstance(devices, Sequence) and not isinstance(devices, str) and len(devices) == 1)


def require_compiler(accelerator: str) -> None:
    """Raise a DeblurzooError if torch.compile does not work here, before anything long or lasting begins."""
    device = "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8, device=device))
    except (RuntimeError, OSError) as error:
        raise DeblurzooError(
            f"compile=true: nothing can be compiled here ({first_line(error)}); install a C++ compiler, for a GPU "
            "also Triton, or set compile=false, or preset=null"
        ) from error


def require_trainer(trainer: Mapping[str, Any]) -> None:
    """Raise a DeblurzooError for a precision that no network runs in, a GPU that is not there, and keys of epochs."""
    for key, instead in _EPOCHS.items():
        if trainer.get(key) not in (None, key == "enable_checkpointing"):
            raise DeblurzooError(
                f"trainer.{key}={trainer[key]} has no use where training is counted in steps: set {instead}"
            )
    precision, accelerator = trainer["precision"], trainer["accelerator"]
    if precision not in _KNOWN:
        raise DeblurzooError(f"trainer.precision={precision} is unknown: choose one of {', '.join(_KNOWN)}")
    if precision == HALF and accelerator == "cpu":
        raise DeblurzooError("trainer.precision=16-mixed needs a GPU: choose auto, 32-true or bf16-mixed")
    if accelerator in ("gpu", "cuda") and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise DeblurzooError(f"trainer.accelerator={accelerator}: torch finds no GPU here; choose trainer=cpu")


def training_precision(accelerator: str) -> str:
    """Return Lightning's name of the fastest precision that a network learns in as well as in float32.

    Autocast to bfloat16 needs no loss scaling, and what it would spoil (weights of the spatial RNN near 1, the
    recurrence, losses) stays in float32. Only where the device multiplies bfloat16 itself: emulated it is slower.

    Args:
        accelerator: `cpu`, `gpu` or Lightning's `auto`, which takes a GPU where there is one.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return LOW if torch.cuda.is_bf16_supported(including_emulation=False) else FULL
    known = getattr(torch.cpu, "get_capabilities", None)  # older versions of torch cannot say
    capabilities = known() if known else {}
    return LOW if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else FULL
