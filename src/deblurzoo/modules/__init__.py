"""The Lightning modules: what training adds to a network."""

from deblurzoo.modules.base import DeblurModule
from deblurzoo.modules.flow_rnn import FlowRNNDeblur
from deblurzoo.modules.srn import SRNDeblur
from deblurzoo.modules.svrnn import Liu2016Deblur, SVRNNDeblur

__all__ = ["DeblurModule", "FlowRNNDeblur", "Liu2016Deblur", "SRNDeblur", "SVRNNDeblur"]
