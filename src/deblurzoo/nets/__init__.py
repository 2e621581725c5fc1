"""The networks: plain torch, one paper per file, each `forward(blur: (B, T, 3, H, W)) -> Restored`."""

from deblurzoo.nets.srn import SRN

__all__ = ["SRN"]
