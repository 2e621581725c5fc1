"""Tables of evaluations, grouped by conditions: for the terminal, as Markdown and as CSV."""

import csv
import html
import io
import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import rich.table
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from deblurzoo.errors import escaped, few_of
from deblurzoo.metrics import METRICS, figure, known_metrics
from deblurzoo.metrics.psnr_ssim import UNCHANGED
from deblurzoo.reports.blur_sizes import gain_by_blur
from deblurzoo.reports.differences import difference_lines
from deblurzoo.reports.gather import Failure, conditions, groups, told_apart
from deblurzoo.reports.papers import FIGURES, published_figures
from deblurzoo.reports.results import Results


class Table(NamedTuple):
    """A table of comparable results, as text.

    `better` has an item for each column: whether the highest value is the best, or None for a column without a best
    value. The first `references` rows are not ranked, such as the blurry input.
    """

    title: str
    headings: Sequence[str]
    rows: list[list[str]]
    notes: list[str]
    better: Sequence[bool | None]
    references: int = 1


View = Callable[[list[Results]], list[Table]]
"""Function that returns the tables of results."""


def figure_names(all_results: Sequence[Results]) -> list[str]:
    """Return the names of all metrics in the results, in the order of `known_metrics`, followed by unknown metrics."""
    names = {name: None for results in all_results for name in results.blurry}
    return [name for name in known_metrics() if name in names] + [name for name in names if name not in known_metrics()]


def headings(group: list[Results]) -> list[str]:
    """Return the headings of the table of a group."""
    return [
        "network",
        "parameters",
        *(figure(name).heading for name in figure_names(group)),
        "gain dB",
        "do no harm",
        "ms / image",
    ]


def do_no_harm(results: Results) -> str:
    """Return the mean PSNR in dB between sharp frames and the network's output for these frames, as text.

    The text is "unchanged" for identical images, and "" if nothing was measured.
    """
    value = results.do_no_harm_psnr
    if value is None:
        return ""
    return "unchanged" if value >= UNCHANGED else f"{value:.2f}"


def rows(group: list[Results]) -> list[list[str]]:
    """Return the rows of a group's table: the blurry input, the sharp images if they have values, and each network.

    The paper's values are in brackets.
    """
    names = figure_names(group)
    table = [["blurry input", "", *_figures(names, blurry(group), {}), "", "", ""]]
    if own := sharp(group):
        table.append(["sharp images", "", *_figures(names, own, {}), "", "", ""])
    for results in group:
        table.append(
            [
                results.name,
                _whole(results.network.parameters),
                *_figures(names, results.restored, published_figures(results)),
                f"{results.gain_db:+.2f}",
                do_no_harm(results),
                _whole(results.ms_per_image),
            ]
        )
    return table


def _whole(value: float | None) -> str:
    """Return a number as text without decimals, or "" if it is unknown."""
    return "" if value is None else f"{value:,.0f}"


def blurry(group: Sequence[Results]) -> dict[str, float]:
    """Return the metric values of a group's blurry input, merged from all results of the group."""
    return {name: value for results in group for name, value in results.blurry.items()}


def sharp(group: Sequence[Results]) -> dict[str, float]:
    """Return the metric values of a group's sharp images, merged from all results of the group; empty for most."""
    return {name: value for results in group for name, value in results.sharp.items()}


def left_out(group: Sequence[Results]) -> str:
    """Return the number of pairs with identical images and some of their names, as text; "" if no such pair exists."""
    names = list(dict.fromkeys(name for results in group for name in results.nothing_to_restore))
    pairs = "1 pair" if len(names) == 1 else f"{len(names)} pairs"
    return f"{pairs} with identical blurry and sharp images ({few_of(names)})" if names else ""


def origins(group: Sequence[Results]) -> list[str]:
    """Return a line for each import, run that started from other weights, and set of images of another program."""
    imports = ((results.name, results.checkpoint.origin) for results in group)
    lineages = ((results.name, results.checkpoint.lineage) for results in group)
    lines = [f"{name}: imported from {origin.summary}" for name, origin in imports if origin]
    lines += [f"{name}: initialised from {lineage.summary}" for name, lineage in lineages if lineage]
    return lines + [
        f"{results.name}: images restored by another program" + (f", {results.source}" if results.source else "")
        for results in group
        if results.is_of_images
    ]


def versions(group: Sequence[Results]) -> list[str]:
    """Return a line for each metric of another package: its version and, if there are several, their networks."""
    found: dict[tuple[str, str], list[str]] = {}
    for results in group:
        for pair in results.metric_versions.items():
            found.setdefault(pair, []).append(results.name)
    several = Counter(name for name, _ in found)
    return [
        f"{figure(name).heading}: {version}" + (f" ({few_of(names)})" if several[name] > 1 else "")
        for (name, version), names in found.items()
    ]


def subject(results: Results) -> str:
    """Return the name of an evaluation's data set and, if it differs, of the images' folder, e.g. `folder HIDE`."""
    name = results.data.name
    return results.dataset if name in ("", results.dataset) else f"{results.dataset} {name}"


def sizes(results: Results) -> str:
    """Return up to three resolutions of the images or, of more, their number."""
    return "/".join(results.resolution) if len(results.resolution) <= 3 else f"{len(results.resolution)} resolutions"


def titles(all_groups: list[list[Results]]) -> list[str]:
    """Return the title of each group. The location of the images is appended to distinguish equal titles."""
    places = [f", {group[0].data.place}" for group in all_groups]
    return told_apart([title(group) for group in all_groups], places)


def title(group: list[Results]) -> str:
    """Return the conditions of a group as text."""
    _, protocol, split, blur, _, frames, rounding, *_ = conditions(group[0])
    return f"{subject(group[0])} {split}, protocol {protocol}, {blur}/, {sizes(group[0])}, {frames}, {rounding}"


def by_conditions(all_results: list[Results]) -> list[Table]:
    """Return a table for each set of conditions, with a row for each network."""
    tables = groups(all_results)
    return [_table(group, heading) for group, heading in zip(tables, titles(tables), strict=True)]


def _table(group: list[Results], heading: str) -> Table:
    pairs = left_out(group)
    notes = ([f"excluded: {pairs}"] if pairs else []) + origins(group) + versions(group)
    notes += difference_lines(group, figure_names(group))
    better = [None, None, *(figure(name).higher_is_better for name in figure_names(group)), True, None, None]
    return Table(heading, headings(group), rows(group), notes, better, references=2 if sharp(group) else 1)


def print_table(all_results: list[Results], failed: Sequence[Failure] = (), view: View = by_conditions) -> None:
    """Print the tables of a view, then the runs that are not done.

    Args:
        all_results: the evaluations.
        failed: the runs that are not done.
        view: the arrangement of the tables.
    """
    console = Console(markup=False, emoji=False)
    for content in view(all_results):
        table = rich.table.Table(title=Text(content.title), title_justify="left")
        for column in content.headings:
            if column == "network":
                table.add_column(column, overflow="fold", min_width=9)
            else:
                words = textwrap.wrap(column, 6, break_long_words=False)
                table.add_column("\n".join(words), justify="right", no_wrap=True)
        for row in content.rows:
            table.add_row(*map(Text, row))
        least = Measurement.get(console, console.options.update(width=1000), table).minimum
        table.width = least if least > console.width else None  # overflow rather than truncate values
        console.print(table, crop=False)
        for line in content.notes:
            console.print(escaped(line), highlight=False, soft_wrap=True)
    for name, reason, state in failed:
        if state != "not begun":
            console.print(f"{name}: {reason}", style="red" if state == "failed" else None)
    if waiting := [failure.name for failure in failed if failure.state == "not begun"]:
        console.print(f"not begun: {few_of(waiting)}", highlight=False)
    if any(failure.state != "failed" for failure in failed):
        console.print(counts(failed), highlight=False)


def counts(failed: Sequence[Failure]) -> str:
    """Return the number of runs in each state, as text: `2 running, 1 failed`."""
    count = Counter(failure.state for failure in failed)
    return ", ".join(f"{number} {state}" for state, number in sorted(count.items(), reverse=True))


def as_markdown(all_results: list[Results], failed: Sequence[Failure], view: View = by_conditions) -> str:
    """Return the tables of a view and the runs that are not done in Markdown, see `print_table`."""
    lines = []
    for title, heads, cells, notes, *_ in view(all_results):
        lines += [
            f"**{_escaped(title)}**",
            "",
            f"| {' | '.join(map(_escaped, heads))} |",
            "|---|" + "---:|" * (len(heads) - 1),
        ]
        lines += [f"| {' | '.join(map(_escaped, row))} |" for row in cells] + [""]
        lines += [*(f"- {_escaped(line)}" for line in notes), ""] if notes else []
    lines += [f"- {_escaped(name)}: {_escaped(reason)}" for name, reason, _ in failed]
    return "\n".join(lines) + "\n"


_OF_MARKDOWN = re.compile(r"[\\`*\[\]~|$]|^([-+]|#+|\d+[.)])(?=\s)|(?<![^\W_])_|_(?![^\W_])")
"""Pattern of text whose last character has a meaning in Markdown; an underscore within a word has none."""


def _escaped(text: str) -> str:
    """Return text with the meaning of its characters in Markdown escaped, in one line."""
    line = _OF_MARKDOWN.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", " ".join(text.split()))
    return html.escape(line, quote=False)


_GIVEN = ("dataset", "protocol", "split", "blur_folder", "resolution", "frames", "rounding", "place")


def _given(results: Results) -> list[Any]:
    """Return the values of the columns `_GIVEN`."""
    return [*conditions(results)[:5], results.frames, results.rounding, results.data.place]


def _as_csv(lines: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def as_csv(all_results: list[Results], failed: Sequence[Failure]) -> str:
    """Return CSV with a line for each evaluation, in full precision, and a line with the reason for each failure."""
    measured = ("gain_db", "do_no_harm_psnr", "ms_per_image")
    names = list(dict.fromkeys([*METRICS, *figure_names(all_results)]))
    of_papers = [f"paper_{name}" for name in FIGURES.values()]
    of_sharp = list(sharp(all_results))
    heads = [*names, *(f"blurry_{name}" for name in names), *(f"sharp_{name}" for name in of_sharp)]
    heads += [*measured, *of_papers]
    lines: list[list[Any]] = [[*_GIVEN, "name", "parameters", *heads, "failure"]]
    for results in all_results:
        paper = published_figures(results)
        lines.append(
            [
                *_given(results),
                results.name,
                results.network.parameters,
                *(results.restored.get(name, "") for name in names),
                *(results.blurry.get(name, "") for name in names),
                *(results.sharp.get(name, "") for name in of_sharp),
                *(getattr(results, name) for name in measured),
                *(paper.get(name, "") for name in FIGURES.values()),
                "",
            ]
        )
    lines += [[*[""] * len(_GIVEN), name, *[""] * (1 + len(heads)), reason] for name, reason, _ in failed]
    return _as_csv(lines)


def as_csv_by_blur(all_results: list[Results], failed: Sequence[Failure]) -> str:
    """Return CSV with a line for each evaluation and range of blur lengths, and a line for each failure."""
    heads = ("blur_from", "blur_to", "blur_mean", "tiles", "clips", "gain_db", "gain_low_db", "gain_high_db")
    lines: list[list[Any]] = [[*_GIVEN, "name", *heads, "failure"]]
    for results in all_results:
        for gain in gain_by_blur(results):
            values = [gain.low, "" if gain.high == math.inf else gain.high, *gain[2:6], *(gain.interval or ("", ""))]
            lines.append([*_given(results), results.name, *values, ""])
    lines += [[*[""] * len(_GIVEN), name, *[""] * len(heads), reason] for name, reason, _ in failed]
    return _as_csv(lines)


def _figures(names: list[str], means: dict[str, float], paper: dict[str, float]) -> list[str]:
    """Return the values of the named metrics as text, with the paper's values in brackets; "" if not measured."""
    texts = []
    for name in names:
        ours = figure(name).text(means[name]) if name in means else ""
        texts.append(ours + (f" ({figure(name).text(paper[name])})" if name in paper else ""))
    return texts
