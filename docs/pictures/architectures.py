"""Draw the architectures of the three networks as SVG files. `make pictures` runs this script."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

FILLS = {
    "image": "#ffffff",
    "conv": "#d7e3f4",
    "rnn": "#f6cf9f",
    "weights": "#dcedd3",
    "memory": "#f2c4c4",
}
"""Colour by kind of box; `rnn` is a spatially variant RNN, `weights` the branch that predicts its weights."""
STARTS = {"image": ("blurry", "frame", "restored"), "rnn": ("RNN",), "memory": ("ConvLSTM",)}
"""Starts of the labels of each kind of box; all other boxes are convolutions."""
Point = tuple[float, float]


class Drawing:
    """An SVG of boxes, arrows and labels, in pixels from the top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="11" text-anchor="middle">\n'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" '
            'orient="auto"><path d="M0 0 8 4 0 8z" fill="#444"/></marker></defs>\n'
            f'<rect width="{width}" height="{height}" fill="#fff"/>'
        )
        self.parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, kind: str, *lines: str) -> None:
        """Draw a box with its centre at (x, y) and a label for each of `lines`."""
        left, top = x - width / 2, y - height / 2
        self.parts.append(
            f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="3" fill="{FILLS[kind]}" stroke="#444"/>'
        )
        for number, line in enumerate(lines):
            self.label(x, y + 4 + 13 * (number - (len(lines) - 1) / 2), line)

    def label(self, x: float, y: float, text: str, anchor: str = "middle") -> None:
        """Write text with its baseline at (x, y)."""
        self.parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>')

    def line(self, *points: Point, style: str = "") -> None:
        """Draw a line through points."""
        path = " ".join(f"{x},{y}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="#444"{style}/>')

    def arrow(self, *points: Point, dashed: bool = False) -> None:
        """Draw an arrow along points, with the tip at the last point."""
        self.line(*points, style=' marker-end="url(#tip)"' + (' stroke-dasharray="4 3"' if dashed else ""))

    def chain(self, y: float, boxes: Sequence[tuple[float, float]]) -> None:
        """Draw the arrows between the boxes of a row. A box is given by its centre x and its width."""
        for (x, width), (following, other) in pairwise(boxes):
            self.arrow((x + width / 2, y), (following - other / 2, y))

    def row(
        self, y: float, columns: Sequence[tuple[float, float]], heights: Sequence[float], labels: Sequence[str]
    ) -> None:
        """Draw a row of boxes, given as centre and width, and the arrows between them; `|` separates lines."""
        for (x, width), height, text in zip(columns, heights, labels, strict=True):
            kinds = (kind for kind, start in STARTS.items() if text.startswith(start))
            self.box(x, y, width, height, next(kinds, "conv"), *text.split("|"))
        self.chain(y, columns)

    def save(self, path: Path) -> None:
        """Write the SVG."""
        path.write_text("\n".join([self.head, *self.parts, "</svg>"]) + "\n")


def svrnn() -> Drawing:
    """Draw SVRNN-Deblur: four RNNs in a row, and the branch that predicts their weights."""
    d = Drawing(800, 224)
    d.label(8, 16, "SVRNN-Deblur: a CNN predicts the RNNs' per-pixel weights from the same image", "start")
    row = [(40.0, 56.0), (104, 40), (162, 44), (222, 44), (274, 32), (326, 44), (378, 32), (430, 44), (482, 32),
           (534, 44), (586, 32), (646, 44), (704, 40), (762, 56)]  # fmt: skip
    names = ["blurry", "conv1", "conv2", "RNN 1", "17", "RNN 2", "18", "RNN 3", "19", "RNN 4", "20", "conv21", "conv22",
             "restored"]  # fmt: skip
    y = 96
    heights = [56 if name in ("blurry", "conv1", "conv22", "restored") else 34 for name in names]
    d.row(y, row, heights, names)
    d.arrow((162, 79), (162, 58), (646, 58), (646, 79))
    d.arrow((104, 68), (104, 44), (704, 44), (704, 68))
    d.label(404, 40, "skips: concatenation")
    for number, (x, size) in enumerate([(130, 50), (168, 38), (206, 26), (244, 18), (282, 26), (320, 38)]):
        d.box(x, 184, 30, size, "weights", *(["conv"] if number in (0, 1, 5) else []))
        d.arrow((x + 15, 184), (x + 23, 184))
    d.box(366, 184, 44, 38, "weights", "conv16", "tanh")
    d.arrow((40, 124), (40, 184), (115, 184))
    d.label(224, 220, "weight generation: conv3 to conv15, three scales")
    d.line((388, 184), (404, 184), (404, 146))
    d.line((222, 146), (534, 146))
    for x in (222, 326, 430, 534):
        d.arrow((x, 146), (x, 113))
    d.label(600, 162, "weights in (-1, 1): one per pixel, channel and direction")
    d.label(600, 200, "tall boxes: full resolution; lower boxes: half resolution")
    return d


def srn() -> Drawing:
    """Draw SRN-DeblurNet: one network at three scales."""
    d = Drawing(800, 306)
    d.label(8, 16, "SRN-DeblurNet: one encoder-decoder, applied from the coarsest scale to the finest", "start")
    for number, (scale, y) in enumerate([("1/4", 80.0), ("1/2", 170.0), ("1", 260.0)]):
        row = [(60.0, 84.0), (176, 60), (240, 48), (302, 52), (402, 84), (502, 52), (564, 48), (628, 60), (740, 84)]
        names = [f"blurry|at scale {scale}", "InBlock", "E 1", "E 2", "ConvLSTM", "D 2", "D 1", "OutBlock",
                 f"restored|at scale {scale}"]  # fmt: skip
        d.row(y, row, [48, 48, 36, 24, 30, 24, 36, 48, 48], names)
        d.arrow((240, y - 18), (240, y - 26), (564, y - 26), (564, y - 18))
        d.arrow((176, y - 24), (176, y - 34), (628, y - 34), (628, y - 24))
        if number < 2:
            d.arrow((402, y + 15), (402, y + 75))
            d.arrow((740, y + 24), (740, y + 47), (124, y + 47), (124, y + 84), (146, y + 84))
    d.label(408, 122, "state of the LSTM, enlarged", "start")
    d.label(136, 122, "prediction, enlarged: second half of the input", "start")
    d.label(402, 42, "skips: addition")
    d.label(402, 300, "the same weights at all scales; E: encoder blocks, D: decoder blocks")
    return d


def flow_rnn() -> Drawing:
    """Draw FlowRNN: a U-Net with RNNs, and the flow network that predicts their weights."""
    d = Drawing(800, 262)
    d.label(8, 16, "FlowRNN: a flow network predicts the RNNs' weights from two frames", "start")
    y = 90.0
    row = [(44.0, 64.0), (118, 44), (174, 44), (234, 44), (290, 44), (350, 44), (406, 44), (470, 58), (535, 48),
           (596, 50), (659, 50), (712, 40), (768, 56)]  # fmt: skip
    names = ["frame t", "conv1", "RNN 1", "conv2", "RNN 2", "conv3", "RNN 3", "conv3_2/3", "deconv3", "deconv2",
             "deconv1", "conv0", "restored"]  # fmt: skip
    heights = [64, 48, 48, 36, 36, 26, 26, 26, 36, 48, 64, 64, 64]
    d.row(y, row, heights, names)
    for start, end, top, (low, high) in [(174, 659, 44, (66, 58)), (290, 596, 54, (72, 66)), (406, 533, 64, (77, 72))]:
        d.arrow((start, low), (start, top), (end, top), (end, high))
    d.arrow((44, 58), (44, 34), (712, 34), (712, 58))
    d.label(378, 30, "skips: concatenation of the frame and of the RNNs' outputs")
    d.box(44, 200, 64, 44, "image", "frame t", "frame t+1")
    sizes = [48, 40, 32, 24, 18, 14, 18, 24, 32, 40, 48]
    xs = [118 + 28.0 * number for number in range(len(sizes))]
    for x, size in zip(xs, sizes, strict=True):
        d.box(x, 200, 18, size, "weights")
    d.chain(200, [(44, 64), *((x, 18.0) for x in xs)])
    d.label(258, 240, "FlowNetS with 3/8 of its channels, down to 1/64 of the size and up again")
    for (x, top), target in zip([(xs[-1], 176.0), (xs[-2], 180), (xs[-3], 184)], (174, 290, 406), strict=True):
        level = {174: 136, 290: 146, 406: 156}[target]
        d.arrow((x, top), (x, level), (target, level), (target, y + {174: 24, 290: 18, 406: 13}[target]))
    d.label(436, 150, "weights in (-1, 1) at 1/2, 1/4 and 1/8", "start")
    d.arrow((407, 200), (470, 200), dashed=True)
    d.label(478, 197, "optical flow at five scales,", "start")
    d.label(478, 211, "trained by warping frame t+1 to t, without labels", "start")
    return d


def save_all(folder: Path) -> None:
    """Write the three drawings."""
    for draw in (svrnn, srn, flow_rnn):
        draw().save(folder / f"{draw.__name__}.svg")


if __name__ == "__main__":
    save_all(Path(__file__).parent)
