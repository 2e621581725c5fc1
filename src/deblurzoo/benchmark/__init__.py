"""Benchmarks of speed, memory and size.

This module lists the values that options of `deblurzoo benchmark` accept; importing it does not import torch.
"""

NAMES = ("svrnn", "srn", "flow_rnn")
"""Networks that can be measured."""
PAPERS_SIZE = (720, 1280)
"""Height and width in pixels for which the papers report their run times."""
HOWS = ("naive", "eager", "compiled", "onnxruntime")
PRECISIONS = ("fp32", "bf16")
