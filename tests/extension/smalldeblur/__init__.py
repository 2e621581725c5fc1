"""A network, a data set, a loss and a metric of somebody's own."""

from smalldeblur.figures import LOSSES, METRICS

__all__ = ["LOSSES", "METRICS"]
