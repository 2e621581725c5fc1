"""Networks, one file per paper. All have `forward(blur: (B, T, 3, H, W)) -> Restored`, and require only PyTorch."""

from deblurzoo.nets.flow_rnn import FlowRNN
from deblurzoo.nets.liu2016 import Liu2016
from deblurzoo.nets.nafnet import NAFNet
from deblurzoo.nets.srn import SRN
from deblurzoo.nets.svrnn import SVRNN

__all__ = ["SRN", "SVRNN", "FlowRNN", "Liu2016", "NAFNet"]
