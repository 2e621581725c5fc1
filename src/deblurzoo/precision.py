"""In which precision to train where nobody has said so."""

import torch
from omegaconf import DictConfig

from deblurzoo.errors import DeblurzooError

AUTO, FULL, LOW = "auto", "32-true", "bf16-mixed"
_KNOWN = (AUTO, FULL, LOW, "16-mixed")
"""Others of Lightning's would round the weights of the spatial RNN, or do not fit float32 pictures."""


def require_trainer(trainer: DictConfig) -> None:
    """Raise a DeblurzooError for a precision that no network runs in, and for a GPU that is not there."""
    if trainer.precision not in _KNOWN:
        raise DeblurzooError(f"trainer.precision={trainer.precision} is unknown: choose one of {', '.join(_KNOWN)}")
    if trainer.precision == "16-mixed" and trainer.accelerator == "cpu":
        raise DeblurzooError("trainer.precision=16-mixed needs a GPU: choose auto, 32-true or bf16-mixed")
    if trainer.accelerator in ("gpu", "cuda") and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise DeblurzooError(f"trainer.accelerator={trainer.accelerator}: torch finds no GPU here; choose trainer=cpu")


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
