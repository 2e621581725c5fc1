"""Printed report and plot of `deblurzoo benchmark`."""

import html
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from deblurzoo.benchmark import PAPERS_SIZE
from deblurzoo.benchmark.harness import Column, machine_line, table

Report = dict[str, Any]
Line = tuple[str, str, str, str]
"""Network, device, execution mode (`how`) and precision."""
NOTES = (
    "naive: in PyTorch only, with the spatial RNN as a loop over columns and rows. Freed memory is returned to the "
    "system. SRN has no spatial RNN; its speed-up (x naive) is due to memory only.",
    "ms: median of all rounds. Each case runs in a separate process; its first run (compilation, warm-up) is not "
    "counted. bf16: torch's autocast; the spatial RNN stays in float32.",
    "CPU s: CPU time of all threads at the main size. On a busy machine, it varies less than the milliseconds.",
    "peak MB: on a CPU, the resident memory of the whole process, including torch and, if compiled, its compiler; on a "
    "GPU, the memory allocated by torch. Freed memory that the process keeps is included.",
    "GMAC: 10^9 multiply-adds of convolutions and of the spatial RNN (two per result of the RNN), without activations "
    "and resizing.",
    "paper s: published seconds for 720x1280 on the GPU in brackets, which are not comparable with this machine.",
)
COLOURS = ("#0072b2", "#d55e00", "#009e73")
DASHES = {"naive": "dot", "eager": "solid", "compiled": "dash", "onnxruntime": "longdashdot"}


def print_report(report: Report) -> None:
    """Print the networks, the times by size, and the reasons for failures."""
    console = Console()
    console.print(machine_line(report["machine"]), highlight=False)
    console.print(_networks(report))
    console.print(_times(report))
    for note in NOTES:
        console.print(note, style="dim", highlight=False)
    for line in reasons(report):
        console.print(line, style="yellow", highlight=False, markup=False)


def _networks(report: Report) -> Table:
    size = "x".join(map(str, report["size"]))

    def paper(name: str) -> str:
        seconds = networks[name]["paper_seconds"]
        return "" if seconds is None else f"{seconds:g} ({networks[name]['paper_gpu']})"

    networks = report["networks"]
    figures: dict[str, Column[str]] = {
        "parameters": lambda name: f"{networks[name]['parameters']:,}",
        "file MB": lambda name: f"{networks[name]['file_bytes'] / 1e6:.1f}",
        f"GMAC {size}": lambda name: f"{networks[name]['macs'][size] / 1e9:.4g}",
        "paper s": paper,
    }
    return table(networks, {"network": str}, figures)


def _times(report: Report) -> Table:
    """Return a table of the milliseconds at each size, and of the speed-up, CPU seconds and peak at the main size."""
    sizes = sorted({tuple(case["size"]) for case in report["cases"]}, key=lambda size: size[0] * size[1])
    main = tuple(report["size"])
    lines = {line: {tuple(c["size"]): c for c in cases if "seconds" in c} for line, cases in _lines(report)}

    def milliseconds(size: tuple[int, ...]) -> Column[Line]:
        return lambda line: f"{1000 * lines[line][size]['seconds']:,.0f}"

    def factor(line: Line) -> str:
        found = factor_of(report, lines[line].get(main, {}))
        return "" if found is None else f"{found:.2f}"

    def peak(line: Line) -> str:
        found = lines[line][main]["peak_bytes"]
        return "-" if found is None else f"{found / 1e6:,.0f}"

    words: dict[str, Column[Line]] = {
        "network": lambda line: line[0],
        "device": lambda line: line[1],
        "how": lambda line: f"{line[2]} {line[3]}",
    }
    figures = {f"ms {h}x{w}": milliseconds((h, w)) for h, w in sizes} | {
        "x naive": factor,
        "CPU s": lambda line: f"{lines[line][main]['cpu_seconds']:.2f}",
        "peak MB": peak,
    }
    return table([line for line in lines if lines[line]], words, figures)


def _lines(report: Report) -> list[tuple[Line, list[Report]]]:
    """Return groups of cases that differ only in size. Groups are sorted by network, then by order of measurement."""

    def key(case: Report) -> Line:
        return case["network"], case["device"], case["how"], case["precision"]

    order = list(dict.fromkeys(map(key, report["cases"])))
    networks = list(report["networks"])
    ordered = sorted(report["cases"], key=lambda case: (networks.index(case["network"]), order.index(key(case))))
    return [(line, list(cases)) for line, cases in groupby(ordered, key)]


def factor_of(report: Report, case: Report) -> float | None:
    """Return the speed-up of a case over the naive network on the same device at the same size, or None."""
    for other in report["cases"]:
        same = all(other[key] == case.get(key) for key in ("network", "device", "size"))
        if same and other["how"] == "naive" and "seconds" in other:
            return float(other["seconds"] / case["seconds"])
    return None


def reasons(report: Report) -> list[str]:
    """Return a message per table row and failure reason. It lists the sizes unless all sizes failed for this reason."""
    found = []
    for line, cases in _lines(report):
        failed = [(case["reason"], "x".join(map(str, case["size"]))) for case in cases if "reason" in case]
        for reason in dict.fromkeys(reason for reason, _ in failed):
            sizes = [size for other, size in failed if other == reason]
            where = "" if len(sizes) == len(cases) else f" at {', '.join(sizes)}"
            network, device, how, precision = line
            found.append(f"not measured: {network} {how} {precision} on {device}{where}: {reason}")
    return found


def as_page(report: Report) -> str:
    """Return a self-contained HTML page that plots time and memory against the number of pixels."""
    import plotly.graph_objects as go  # slow to import
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 2, subplot_titles=("milliseconds", "peak memory, MB"))
    networks = list(report["networks"])
    for (network, device, how, precision), cases in _lines(report):
        measured = sorted((case for case in cases if "seconds" in case), key=lambda case: case["size"])
        name = f"{network} {how} {precision} {device}"
        style = {
            "line": {"color": COLOURS[networks.index(network)], "dash": DASHES[how]},
            "marker": {"symbol": "circle" if precision == "fp32" else "circle-open"},
            "name": name,
            "legendgroup": name,
            "mode": "lines+markers",
            "text": [f"{name}, {case['size'][0]}x{case['size'][1]}" for case in measured],
        }
        pixels = [case["size"][0] * case["size"][1] / 1e6 for case in measured]
        figure.add_trace(go.Scatter(x=pixels, y=[1000 * case["seconds"] for case in measured], **style), 1, 1)
        peaks = [case["peak_bytes"] and case["peak_bytes"] / 1e6 for case in measured]
        figure.add_trace(go.Scatter(x=pixels, y=peaks, showlegend=False, **style), 1, 2)
    for network, facts in report["networks"].items():
        if facts["paper_seconds"] is not None:
            place = {"x": [PAPERS_SIZE[0] * PAPERS_SIZE[1] / 1e6], "y": [1000 * facts["paper_seconds"]]}
            name = f"{network}, paper's {facts['paper_gpu']}"
            mark = {"symbol": "star", "size": 12, "color": COLOURS[networks.index(network)]}
            figure.add_trace(go.Scatter(**place, marker=mark, mode="markers", name=name), 1, 1)
    figure.update_xaxes(type="log", title="megapixels")
    figure.update_yaxes(type="log")
    figure.update_layout(template="plotly_white", height=700, title=f"deblurzoo on {report['machine']['cpu']}")
    notes = "".join(f"<p>{html.escape(text)}</p>" for text in (*NOTES, *reasons(report)))
    page: str = figure.to_html(include_plotlyjs=True)
    return page.replace("</body>", f"<div style='font: 14px sans-serif; margin: 2em'>{notes}</div></body>")
