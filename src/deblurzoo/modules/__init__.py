"""The Lightning modules: what training adds to a network."""

from deblurzoo.modules.base import DeblurModule
from deblurzoo.modules.srn import SRNDeblur

__all__ = ["DeblurModule", "SRNDeblur"]
