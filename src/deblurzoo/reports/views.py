"""Further views of evaluations, networks by data sets and gain by blur, and tables in LaTeX."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from unicodedata import normalize

from deblurzoo.errors import DeblurzooError, few_of
from deblurzoo.metrics import figure
from deblurzoo.reports.blur_sizes import HEADINGS, rows_by_blur, without_lengths
from deblurzoo.reports.differences import difference_lines
from deblurzoo.reports.gather import conditions, groups, told_apart
from deblurzoo.reports.papers import FIGURES, Row, rows
from deblurzoo.reports.results import Results
from deblurzoo.reports.table import Table, View, blurry, figure_names, sharp, subject, title, titles


def by_blur(all_results: list[Results]) -> list[Table]:
    """Return a table for each set of conditions, with a row for each network and range of blur lengths."""
    tables = groups(all_results)
    return [_by_blur(group, heading) for group, heading in zip(tables, titles(tables), strict=True)]


def _by_blur(group: list[Results], heading: str) -> Table:
    names = without_lengths(group)
    notes = [f"without blur lengths: {few_of(names)}; `deblurzoo evaluate` measures them"] if names else []
    return Table(heading, HEADINGS, rows_by_blur(group), notes, [None] * len(HEADINGS), references=0)


def by_data(name: str) -> View:
    """Return the view of one metric: a table with a row for each network and a column for each data set."""
    return lambda all_results: [_by_data(all_results, name)]


def _by_data(all_results: list[Results], name: str) -> Table:
    tables = [group for group in groups(all_results) if name in figure_names(group)]
    if not tables:
        known = figure_names(all_results)
        raise DeblurzooError(f"no evaluation has the metric {name}: choose from {', '.join(known) or 'none'}")
    shown, columns = figure(name), column_names(tables)
    values = [{result.name: result.restored.get(name) for result in group} for group in tables]
    networks = dict.fromkeys(result.name for group in tables for result in group)
    lines = [[label, *map(shown.shown, row)] for label, row in references(tables, name)]
    first = len(lines)
    for network in networks:
        lines.append([network, *(shown.shown(column.get(network)) for column in values)])
    notes = [f"{column}: {title(group)}" for column, group in zip(columns, tables, strict=True)]
    for column, group in zip(columns, tables, strict=True):
        notes += difference_lines(group, [name], of=f"{column}: ")
    unit = f" in {shown.unit}" if shown.unit else ""
    better = [None, *[shown.higher_is_better] * len(tables)]
    return Table(f"{shown.heading}{unit} by data set", ["network", *columns], lines, notes, better, references=first)


def references(tables: Sequence[Sequence[Results]], name: str) -> list[tuple[str, list[float | None]]]:
    """Return label and values by group of the blurry input and, if they have values, of the sharp images."""
    before, own = ([values(group).get(name) for group in tables] for values in (blurry, sharp))
    rows = [("blurry input", before)]
    return rows if all(value is None for value in own) else [*rows, ("sharp images", own)]


def column_names(tables: Sequence[list[Results]]) -> list[str]:
    """Return a short heading for each set of conditions: the data set and, if required, the conditions that differ."""
    names = [subject(group[0]) for group in tables]
    for place in (1, 3, 4, 5, 6, 7, 8):  # protocol, blur folder, resolution, frames, rounding, measure, images
        names = told_apart(names, [f" {conditions(group[0])[place]}" for group in tables])
    return names


def with_published(view: View) -> View:
    """Return a view followed by tables of the published results on the same data sets, one for each protocol."""
    return lambda all_results: [*view(all_results), *published(all_results)]


def published(all_results: Sequence[Results]) -> list[Table]:
    """Return tables of the published results on the data sets of the evaluations, one for each protocol."""

    def conditions_of(row: Row) -> str:
        return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in row.conditions.items())

    datasets = {results.dataset for results in all_results}
    chosen = sorted((row for row in rows() if row.conditions["dataset"] in datasets), key=conditions_of)
    return [_published_table(f"published: {name}", list(group)) for name, group in groupby(chosen, conditions_of)]


def _published_table(heading: str, group: list[Row]) -> Table:
    """Return the table of published results under the same conditions, the best PSNR last."""
    names = [name for name in FIGURES.values() if any(name in row.figures for row in group)]
    shown = [figure(name) for name in names]
    lines = [
        [row.name, row.trained_on or "", row.table]
        + [one.text(row.figures[name]) if name in row.figures else "" for name, one in zip(names, shown, strict=True)]
        for row in sorted(group, key=lambda row: next(iter(row.figures.values())))
    ]
    heads = ["network", "trained on", "source", *(one.heading for one in shown)]
    notes = list(dict.fromkeys(f"{row.table}: {row.source}" for row in group))
    better = [None, None, None, *(one.higher_is_better for one in shown)]
    return Table(heading, heads, lines, notes, better, references=0)


def as_latex(all_results: list[Results], view: View) -> str:
    """Return the tables of a view in LaTeX. The best value of a column is bold, the second underlined.

    Values that are equal as shown share the mark. The package booktabs is required. Names may have any characters;
    pdfLaTeX knows the Latin ones.
    """
    tables = "\n".join(map(_latex, view(all_results)))
    engine = "" if tables.isascii() else "; letters that pdfLaTeX does not know require LuaLaTeX or XeLaTeX"
    return f"% requires \\usepackage{{booktabs}}{engine}\n{tables}"


def _latex(table: Table) -> str:
    first = table.references
    marked = [list(map(_plain, row)) for row in table.rows]
    for column, higher in enumerate(table.better):
        if higher is not None:
            _mark(marked[first:], column, higher)
    lines = [" & ".join(row) + r" \\" for row in marked]
    rule = [r"\midrule"] if first else []
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_plain(table.title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.headings) - 1)}}}",
            r"\toprule",
            " & ".join(map(_plain, table.headings)) + r" \\",
            r"\midrule",
            *lines[:first],
            *rule,
            *lines[first:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def best_two(texts: Iterable[str], higher: bool) -> list[str]:
    """Return the best and the second-best number of a column as text; `higher` is whether the highest is the best."""
    return sorted(set(texts), key=float, reverse=higher)[:2]


def _mark(rows: list[list[str]], column: int, higher: bool) -> None:
    """Mark the best and the second-best value of a column; the paper's value in brackets stays unmarked."""
    found = [(row, number) for row in rows if (number := _NUMBER.match(row[column]))]
    marks = dict(zip(best_two((number[0] for _, number in found), higher), (r"\textbf", r"\underline"), strict=False))
    for row, number in found:
        if mark := marks.get(number[0]):
            row[column] = f"{mark}{{{number[0]}}}{row[column][number.end() :]}"


_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"{{{sign}}}" for sign in "[*"},  # at the start of a row, they are arguments of the row before
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}
"""LaTeX of the characters that have a meaning in LaTeX."""


def _plain(text: str) -> str:
    """Return text with the meaning of its characters in LaTeX escaped, in one line.

    Accents are composed with their letters, as pdfLaTeX knows them; file names of macOS have them apart.
    """
    composed = normalize("NFC", " ".join(text.split()))
    line = "".join(_SPECIAL.get(character, character) for character in composed)
    return re.sub("(?<=[-`',?!])(?=[-`',])", "{}", line)  # LaTeX prints pairs such as two hyphens as one character
