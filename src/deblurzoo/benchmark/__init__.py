"""Benchmarks of speed, memory and size; the choices of `deblurzoo benchmark` are importable without torch."""

NAMES = ("svrnn", "srn", "flow_rnn")
"""Networks that are measured."""
PAPERS_SIZE = (720, 1280)
"""Height and width in pixels for which the papers report their run times."""
HOWS = ("naive", "eager", "compiled", "onnxruntime")
PRECISIONS = ("fp32", "bf16")
