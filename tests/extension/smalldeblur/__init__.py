"""A network, a data set, a loss and a metric of a third party."""

from smalldeblur.figures import LOSSES, METRICS

__all__ = ["LOSSES", "METRICS"]
