"""Learning-rate schedules: functions of the step that return a factor of the initial rate.

Schedules are stateless: a resumed run uses the learning rate of the config. If the config is unchanged, every step has
the same learning rate as without the interruption.
"""

import math
from collections.abc import Callable

Schedule = Callable[[float, float], float]
"""Function of the remaining share of steps (from 1 to 0) and the power. Returns a factor that starts at 1."""

SCHEDULES: dict[str, Schedule] = {
    "polynomial": lambda remaining, power: float(remaining**power),
    "cosine": lambda remaining, _: (1 - math.cos(math.pi * remaining)) / 2,
    "constant": lambda remaining, _: 1.0,
}
"""Schedules by name.

References: `polynomial` is the "exponential decay of power 0.3" of Tao et al. and, with power 2, the schedule in the
Caffe solvers of the two spatial-RNN papers. `cosine`: Loshchilov and Hutter, ICLR 2017, without restarts.
"""


def known(name: str) -> str:
    """Return `name`; raise a ValueError if it is not a schedule."""
    if name not in SCHEDULES:
        raise ValueError(f"{name} is not a schedule: choose one of {', '.join(SCHEDULES)}")
    return name


def factor(step: int, name: str, steps: int, power: float = 1.0, end: float = 0.0, warmup: int = 0) -> float:
    """Return the factor of the initial learning rate: a decay from 1 to `end`, times a linear warm-up.

    Args:
        step: number of optimiser steps taken so far.
        name: a key of `SCHEDULES`.
        steps: total number of optimiser steps; the factor is constant afterwards.
        power: exponent, used only by `polynomial`.
        end: final factor, ignored by `constant`.
        warmup: number of warm-up steps.

    Raises:
        ValueError: the schedule is unknown.
    """
    remaining = max(0.0, 1.0 - step / steps)
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return rise * ((1.0 - end) * SCHEDULES[known(name)](remaining, power) + end)
