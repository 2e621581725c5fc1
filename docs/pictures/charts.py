"""Line charts of the docs: axes in a drawing, and lines of several data sets or networks with a legend."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from architectures import Drawing, Point

COLOURS = ("#444444", "#3a6fb0", "#d9822b", "#4b9e5f")
DASHES = ("", "6 3", "2 3", "10 3 2 3")
WIDTH, HEIGHT, BOTTOM = 330, 150, 190
"""Size of a chart, and the height of its horizontal axis, in pixels."""


class Chart(NamedTuple):
    """A chart in a drawing, by its left edge in pixels and the limits of its axes."""

    drawing: Drawing
    left: float
    horizontal: tuple[float, float]
    vertical: tuple[float, float]

    def place(self, x: float, y: float) -> Point:
        """Return the pixel of a point."""
        (first, last), (low, high) = self.horizontal, self.vertical
        right, up = (x - first) / (last - first), (y - low) / (high - low)
        return round(self.left + WIDTH * right, 1), round(BOTTOM - HEIGHT * up, 1)

    def axes(self, title: str, horizontal: Iterable[float], vertical: Iterable[float] = ()) -> None:
        """Draw the horizontal axis, and the labels of both axes at some values."""
        self.drawing.label(self.left + WIDTH / 2, 16, title)
        self.drawing.line((self.left, BOTTOM), (self.left + WIDTH, BOTTOM))
        for value in horizontal:
            self.drawing.label(round(self.place(value, 0)[0]), BOTTOM + 15, f"{value:,g}")
        for value in vertical:
            _, y = self.place(self.horizontal[0], value)
            self.drawing.line((self.left, y), (self.left + WIDTH, y), style=' opacity="0.2"')
            self.drawing.label(self.left - 6, y + 4, f"{value:g}", "end")

    def line(self, number: int, points: Iterable[Point]) -> None:
        """Draw the line of the data set or network with a number."""
        self.drawing.line(*(self.place(*point) for point in points), style=_style(number))

    def interval(self, number: int, x: float, low: float, high: float) -> None:
        """Draw the interval of a point of the line with a number, shifted so that intervals do not cover each other."""
        (x, bottom), (_, top) = self.place(x, low), self.place(x, high)
        shift = 2 * number - 3
        self.drawing.line((x + shift, bottom), (x + shift, top), style=f' style="stroke:{COLOURS[number]}"')


def legend(drawing: Drawing, y: float, names: Sequence[str]) -> None:
    """Write the names of the data sets or networks, each beside a piece of its line."""
    for number, name in enumerate(names):
        left = 40 + 180 * number
        drawing.line((left, y), (left + 25, y), style=_style(number))
        drawing.label(left + 30, y + 4, name, "start")


def _style(number: int) -> str:
    return f' style="stroke:{COLOURS[number]};stroke-width:2" stroke-dasharray="{DASHES[number]}"'
