"""Learning-rate schedules, as factors of the initial rate."""


def polynomial(step: int, steps: int, power: float, end: float = 0.0, warmup: int = 0) -> float:
    """Return `(1 - end) * (1 - step/steps)^power + end`, after a linear rise over the first `warmup` steps.

    Args:
        step: optimiser steps taken, from 0.
        steps: optimiser steps in all; from there on the factor stays at `end`.
        power: 0.3 for SRN (its "exponential decay of power 0.3"), 2 for the spatial-RNN papers.
        end: the last factor, as a share of the initial rate.
        warmup: steps of the linear rise; no paper has one.
    """
    remaining = max(0.0, 1.0 - step / steps)
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return float(rise * ((1.0 - end) * remaining**power + end))
