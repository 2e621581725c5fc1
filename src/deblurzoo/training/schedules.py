"""Learning-rate schedules: functions of the step, as factors of the initial rate.

None has a state: the config's learning rate rules whenever a run resumes, and the next step has the rate that it would
have had without the interruption.
"""

import math
from collections.abc import Callable

Schedule = Callable[[float, float], float]
"""From the share of the steps that remain, 1 to 0, and the power, to a factor that is 1 at first."""

SCHEDULES: dict[str, Schedule] = {
    "polynomial": lambda remaining, power: float(remaining**power),
    "cosine": lambda remaining, _: (1 - math.cos(math.pi * remaining)) / 2,
    "constant": lambda remaining, _: 1.0,
}
"""Polynomial: Tao et al.'s "exponential decay of power 0.3", and power 2 of the spatial-RNN papers' Caffe solvers.
Cosine: Loshchilov and Hutter, ICLR 2017, without restarts."""


def known(name: str) -> str:
    """Return the name of a schedule; raise a ValueError if there is none of that name."""
    if name not in SCHEDULES:
        raise ValueError(f"{name} is no schedule: choose one of {', '.join(SCHEDULES)}")
    return name


def factor(step: int, name: str, steps: int, power: float = 1.0, end: float = 0.0, warmup: int = 0) -> float:
    """Return the factor of the initial learning rate: from 1 to `end`, after a linear rise over the first steps.

    Args:
        step: optimiser steps taken, from 0.
        name: a key of `SCHEDULES`.
        steps: optimiser steps in all; from there on the factor stays as it is.
        power: of `polynomial` alone.
        end: the last factor, as a share of the initial rate; `constant` never comes to it.
        warmup: steps of the linear rise.

    Raises:
        ValueError: there is no schedule of that name.
    """
    remaining = max(0.0, 1.0 - step / steps)
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return rise * ((1.0 - end) * SCHEDULES[known(name)](remaining, power) + end)
