"""Measuring speed, memory and size: the choices of `deblurzoo benchmark`, which are known without torch."""

NAMES = ("svrnn", "srn", "flow_rnn")
"""The networks that are measured."""
PAPERS_SIZE = (720, 1280)
"""At which the papers print their seconds."""
HOWS = ("naive", "eager", "compiled", "onnxruntime")
PRECISIONS = ("fp32", "bf16")
