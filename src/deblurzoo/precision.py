"""In which precision to train where nobody has said so."""

import torch

AUTO, FULL, LOW = "auto", "32-true", "bf16-mixed"


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
