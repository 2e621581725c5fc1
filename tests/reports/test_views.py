"""Views of evaluations: networks by data sets, and tables in LaTeX."""

import csv
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from conftest import Run
from deblurzoo.errors import DeblurzooError
from deblurzoo.reports.gather import Failure, gather
from deblurzoo.reports.papers import rows
from deblurzoo.reports.results import Facts, Measured, Results
from deblurzoo.reports.table import as_markdown, by_conditions, title
from deblurzoo.reports.views import as_latex, by_data, with_published
from reports.test_blur_sizes import FACTS


def evaluation(name: str, dataset: str, psnr: float, blur: str = "blur", **more: float) -> Results:
    """Return the results of a network on one image of a data set."""
    values = {"psnr": psnr, **more}
    before = {"psnr": 20.0, **dict.fromkeys(more, 0.5)}
    image = Measured(clip="a", frame="1", height=64, width=64, ms=1.0, restored=values, blurry=before)
    facts = {"name": name, "dataset": dataset, "protocol": dataset, "blur_folder": blur}
    return Results.of(Facts.model_validate({**FACTS, **facts}), [image])


FIELD = [
    evaluation("A_1", "gopro", 30.001, ssim=0.9),
    evaluation("B & co", "gopro", 29.5),
    evaluation("A_1", "hide", 27.123),
    evaluation("B & co", "hide", 28.0),
    evaluation("C", "hide", 28.0049),
    evaluation("C", "gopro", 31.0, blur="blur_gamma"),
]


def test_networks_by_data_sets() -> None:
    (table,) = by_data("psnr")(FIELD)
    assert table.title == "PSNR in dB by data set"
    assert table.headings == ["network", "gopro blur", "gopro blur_gamma", "hide"]
    assert table.rows == [
        ["blurry input", "20.00", "20.00", "20.00"],
        ["A_1", "30.00", "", "27.12"],
        ["B & co", "29.50", "", "28.00"],
        ["C", "", "31.00", "28.00"],
    ]
    assert table.notes[0].startswith("gopro blur: gopro test, protocol gopro, blur/, 64x64, 1 frames")
    assert "gopro blur: B & co minus A_1, PSNR: -0.50 dB, too few clips for an interval (1)" in table.notes
    (ssim,) = by_data("ssim")(FIELD)
    assert (ssim.headings, ssim.rows[1]) == (["network", "gopro"], ["A_1", "0.9000"])
    with pytest.raises(DeblurzooError, match="no evaluation has the metric lpips: choose from psnr, ssim"):
        by_data("lpips")(FIELD)


def test_published_results_are_apart_and_by_protocol() -> None:
    field = [*FIELD, *(evaluation("A_1", f"realblur_{kind}", 30.0) for kind in "jr")]
    ours, *published = with_published(by_data("psnr"))(field)
    assert ours == by_data("psnr")(field)[0]
    assert [table.title for table in published] == [
        "published: dataset gopro, protocol gopro, blur folder blur, frames 1111",
        "published: dataset hide, protocol hide",
        "published: dataset realblur_j, protocol luminance",
        "published: dataset realblur_j, protocol realblur_j, measure realblur",
        "published: dataset realblur_j, protocol unstated",
        "published: dataset realblur_r, protocol luminance",
        "published: dataset realblur_r, protocol realblur_r, measure realblur",
        "published: dataset realblur_r, protocol unstated",
    ]
    assert [table.headings[3:] for table in published[1:5]] == [
        ["PSNR", "SSIM", "SSIM 3-D"],
        ["PSNR"],
        ["PSNR aligned"],
        ["PSNR"],
    ]
    gopro = published[0]
    assert gopro.headings == ["network", "trained on", "source", "PSNR", "SSIM", "SSIM 3-D"]
    assert ["MPRNet", "GOPRO", "mimo_gopro", "32.66", "", ""] in gopro.rows
    assert ["DeepDeblur (PyTorch)", "GOPRO", "deepdeblur_gopro", "30.40", "0.9018", ""] in gopro.rows
    assert ["Restormer", "GOPRO", "nafnet_gopro", "32.92", "", "0.9610"] in gopro.rows
    assert ["Restormer", "GOPRO", "mlwnet_gopro", "33.57", "", ""] in gopro.rows, (
        "sources that disagree have a row each"
    )
    assert gopro.rows == sorted(gopro.rows, key=lambda row: float(row[3]))
    sources = {row.table: row.source for row in rows()}
    for table in published:
        assert {note.partition(": ")[0] for note in table.notes} == {row[2] for row in table.rows}
        assert table.notes == [f"{name}: {sources[name]}" for name in (note.partition(": ")[0] for note in table.notes)]
    assert len(with_published(by_conditions)([evaluation("A", "toy", 30.0)])) == 1


def parsed(latex: str) -> list[list[list[str]]]:
    """Return the cells of each tabular; raise an error if its structure is wrong."""
    tables = []
    pattern = (
        r"\\begin\{table\}\n\\centering\n\\caption\{(?:[^{}]|\\[{}])*\}\n\\begin\{tabular\}\{(l[r]*)\}\n\\toprule\n"
        r"(.*?)\\bottomrule\n\\end\{tabular\}\n\\end\{table\}\n"
    )
    for columns, body in re.findall(pattern, latex, re.S):
        lines = [line for line in body.splitlines() if line != r"\midrule"]
        assert all(line.endswith(r" \\") for line in lines)
        rows = [re.split(r" (?<!\\)& ", line.removesuffix(r" \\")) for line in lines]
        assert {len(row) for row in rows} == {len(columns)}
        bare = re.sub(
            r"\\(textbf|underline|textbackslash|text\w+)\{|\\[&%$#_{}]|\{[\[*]\}", "", " ".join(map(" ".join, rows))
        )
        assert not re.search(r"[&%$#_\\~^*|]", bare) and not any(line.startswith(("[", "*")) for line in lines)
        tables.append(rows)
    assert len(tables) == latex.count(r"\begin{") / 2
    return tables


def test_latex_marks_the_best_and_the_second() -> None:
    (rows,) = parsed(as_latex(FIELD, by_data("psnr")))
    assert rows == [
        ["network", "gopro blur", r"gopro blur\_gamma", "hide"],
        ["blurry input", "20.00", "20.00", "20.00"],
        [r"A\_1", r"\textbf{30.00}", "", r"\underline{27.12}"],
        [r"B \& co", r"\underline{29.50}", "", r"\textbf{28.00}"],
        ["C", "", r"\textbf{31.00}", r"\textbf{28.00}"],
    ]
    tables = parsed(as_latex(FIELD, by_conditions))
    assert [len(table) for table in tables] == [4, 3, 5]
    assert tables[0][2][:3] == [r"A\_1", "1", r"\textbf{30.00}"], "parameters are not ranked"


def test_the_sharp_images_are_not_ranked() -> None:
    both = [evaluation(name, "gopro", 30.0, sharpness=value) for name, value in (("A", 40.0), ("B", 60.0))]
    for results in both:
        results.sharp["sharpness"] = 90.0
    (rows,) = parsed(as_latex(both, by_conditions))
    values = ["0.5", "90.0", r"\underline{40.0}", r"\textbf{60.0}"]
    assert [row[3] for row in rows] == ["sharpness", *values]
    field = [*both, evaluation("A", "hide", 30.0, sharpness=1.0)]
    (rows,) = parsed(as_latex(field, by_data("sharpness")))
    assert [row[:2] for row in rows[1:]] == list(
        map(list, zip(["blurry input", "sharp images", "A", "B"], values, strict=True))
    )
    assert [row[2] for row in rows] == ["hide", "0.5", "", r"\textbf{1.0}", ""]
    (table,) = by_data("psnr")(field)
    assert [row[0] for row in table.rows] == ["blurry input", "A", "B"]


def test_names_are_text_in_latex() -> None:
    name = r"50% \input{x} $a_1$ #~^ <b>" + "\nnext"
    (rows,) = parsed(as_latex([evaluation(name, "gopro", 30.0)], by_data("psnr")))
    assert rows[2][0] == (
        r"50\% \textbackslash{}input\{x\} \$a\_1\$ \#\textasciitilde{}\textasciicircum{} "
        r"\textless{}b\textgreater{} next"
    )


def test_other_letters_and_hyphens_in_latex() -> None:
    first, *_ = latex = as_latex([evaluation("a_b--c---d", "gopro", 30.0)], by_conditions).splitlines()
    assert first == r"% requires \usepackage{booktabs}"
    assert any(line.startswith(r"a\_b-{}-c-{}-{}-d & ") for line in latex)
    *_, line = (line for line in as_latex([evaluation("?`a''b ,,e\u0301", "gopro", 30.0)], by_conditions).splitlines()
                if line.startswith("?"))  # fmt: skip
    assert line.startswith("?{}`a'{}'b ,{},é & ")
    first, *_ = latex = as_latex([evaluation("α网é", "gopro", 30.0)], by_conditions).splitlines()
    assert first.endswith("require LuaLaTeX or XeLaTeX") and any(line.startswith("α网é & ") for line in latex)


def test_a_row_is_not_an_argument_of_the_row_before() -> None:
    names = ["[1cm] a", "*b", "a|b"]
    (rows,) = parsed(as_latex([evaluation(name, "gopro", 30.0) for name in names], by_data("psnr")))
    assert [row[0] for row in rows[2:]] == ["{[}1cm] a", "{*}b", r"a\textbar{}b"]


def test_headings_are_text_in_markdown() -> None:
    field = [evaluation("A", "gopro", 30.0), evaluation("A", "gopro", 30.0, blur="a|b*")]
    lines = as_markdown(field, [], by_data("psnr")).splitlines()
    assert lines[2] == r"| network | gopro a\|b\* | gopro blur |"


ODD_NAMES = [
    *("_a_", "__a__", "a_b_c", "*a*", "`a`", "~~a~~", "[a](b)", "![a](b)", "<b>a</b>", "&amp;", "a|b", r"a\|b", "a\\"),
    *("# a", "## a", "- a", "+ a", "1. a", "12) a", "a <!-- b", "$a$", "\\_a\\_"),
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_shown_literally_in_markdown(name: str) -> None:
    """Names are in a title, in headings, in cells and at the start of a line of a list."""
    one, other = (evaluation(name, "gopro", 30.0, blur=blur) for blur in (name, "blur"))
    failed = [Failure(name, "failed")]
    written = as_markdown([one, other], failed, by_data("psnr")) + as_markdown([one], failed)
    shown = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(written)
    texts = [unescape(text) for text in re.findall(r"(?<=>)[^<>\n]+", shown)]
    places = [name, f"gopro {name}", f"{name}: failed", title([one])]
    assert [texts.count(place) for place in places] == [2, 1, 2, 1], shown


def test_more_than_three_resolutions_are_counted() -> None:
    one = evaluation("A", "gopro", 30.0)
    few, many = (one.model_copy(update={"resolution": [f"{n}x9" for n in range(count)]}) for count in (3, 4))
    assert ", 0x9/1x9/2x9, " in title([few]) and ", 4 resolutions, " in title([many])


def test_compare_by_data(deblurzoo: Run, tmp_path: Path) -> None:
    for number, results in enumerate(FIELD):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "results.json").write_bytes(results.as_json())
    found, _ = gather([tmp_path])
    assert {results.name for results in found.values()} == {"A_1", "B & co", "C"}, "a network has one name"
    again = evaluation("A_1", "gopro", 30.001, ssim=0.9)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "results.json").write_bytes(again.as_json())
    found, _ = gather([tmp_path])
    assert {"A_1 (0)", "A_1 (2)", "A_1 (copy)"} <= {results.name for results in found.values()}, "copies are told apart"
    shutil.rmtree(tmp_path / "copy")
    files = ["--published", "--latex", "t.tex", "--markdown", "t.md", "--csv", "t.csv", "--html", "t.html"]
    done = deblurzoo("compare", ".", "--by-data", "psnr", *files)
    assert done.returncode == 0 and "PSNR in dB by data set" in done.stdout, done.stderr
    assert r"\textbf{" in (tmp_path / "t.tex").read_text() and parsed((tmp_path / "t.tex").read_text())
    assert "**PSNR in dB by data set**" in (tmp_path / "t.md").read_text()
    assert (
        "published: dataset hide, protocol hide" in done.stdout
        and "| Restormer (by MMagic) | GOPRO | " in (tmp_path / "t.md").read_text()
    )
    page = (tmp_path / "t.html").read_text()
    assert "<h2>Published results</h2><h3>dataset gopro, protocol gopro" in page and "mlwnet_gopro" in page
    assert len(list(csv.DictReader((tmp_path / "t.csv").open()))) == len(FIELD)
    done = deblurzoo("compare", ".", "--by-data", "psnr", "--by-blur")
    assert done.returncode == 2 and "not allowed with" in done.stderr


def test_compare_states_the_difference_of_two_networks(deblurzoo: Run, tmp_path: Path) -> None:
    for number, results in enumerate(FIELD[:2]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "results.json").write_bytes(results.as_json())
    done = deblurzoo("compare", "0", "1", "--markdown", "t.md")
    line = "B & co minus A_1, PSNR: -0.50 dB, too few clips for an interval (1)"
    assert done.returncode == 0 and line in done.stdout, done.stderr
    assert f"- {line.replace('&', '&amp;')}" in (tmp_path / "t.md").read_text()
    assert "minus" not in deblurzoo("compare", "0").stdout
