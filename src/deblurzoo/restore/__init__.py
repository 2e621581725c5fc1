"""Applying a trained network to somebody's photos and videos."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16"]
