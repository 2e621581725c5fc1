"""A network, a data set, a loss and two metrics of a third party."""

from smalldeblur import figures, perceptual
from smalldeblur.figures import LOSSES

METRICS = figures.METRICS | perceptual.METRICS

__all__ = ["LOSSES", "METRICS"]
