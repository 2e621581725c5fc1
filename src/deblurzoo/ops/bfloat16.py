"""Support for bfloat16."""

import torch


def has_bfloat16(device: str) -> bool:
    """Whether a device has bfloat16 instructions; if it only emulates them, float32 is faster.

    Args:
        device: `cpu`; any other name means a GPU, if one is available.
    """
    if device != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = getattr(torch.cpu, "get_capabilities", None)  # missing in older versions of torch
    capabilities = known() if known else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
