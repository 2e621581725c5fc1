"""Notebooks have no committed outputs, match their scripts, and run on small runs."""

from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from conftest import SMALL_TOY, TINY_NETS, TINY_RUN, Run
from deblurzoo.pictures.internals import DIRECTIONS

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TRAIN = ["experiment=svrnn_toy", *TINY_RUN, *TINY_NETS["svrnn"], "trainer.max_steps=1", "trainer.val_check_interval=1"]
TRAIN += ["model.net.residual=false"]  # after one step, residual networks are still identical to the identity


class Executed:
    """Text and figures in the outputs of an executed notebook."""

    def __init__(self, notebook: Any) -> None:
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        data = [output.get("data", {}) for output in outputs]
        self.text = "\n".join([o.get("text", "") for o in outputs] + [d.get("text/markdown", "") for d in data])
        self.figures = [d["application/vnd.plotly.v1+json"] for d in data if "application/vnd.plotly.v1+json" in d]

    @property
    def headings(self) -> list[list[str]]:
        """Titles of the images in each figure of images, without spaces and line breaks."""
        pictured = [figure for figure in self.figures if figure["data"][0]["type"] == "image"]
        return [
            [note["text"].replace("<br>", "").replace(" ", "") for note in figure["layout"]["annotations"]]
            for figure in pictured
        ]


@pytest.fixture
def execute(environment: dict[str, str], tmp_path: Path) -> Any:
    """Execute a notebook in the test's folder, with environment variables, and return its outputs."""

    def run(name: str, **variables: str) -> Executed:
        notebook = nbformat.read(FOLDER / name, as_version=4)
        home = {"IPYTHONDIR": str(tmp_path / "ipython"), "PLOTLY_RENDERER": "plotly_mimetype"}
        client = NotebookClient(notebook, timeout=120, kernel_name="python3")
        return Executed(client.execute(cwd=str(tmp_path), env={**environment, **home, **variables}))

    return run


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare_ablations", "look_inside_svrnn"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_committed(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_and_script_are_in_step(path: Path) -> None:
    notebook, script = (jupytext.read(path.with_suffix(suffix)).cells for suffix in (".ipynb", ".py"))
    assert [(cell.cell_type, cell.source) for cell in notebook] == [(cell.cell_type, cell.source) for cell in script]


@pytest.mark.processes
def test_they_run_on_a_sweep(deblurzoo: Run, execute: Any, toy: Path, tmp_path: Path) -> None:
    """A single test, because training and imports take most of the time."""
    trained = deblurzoo("train", "-m", *TRAIN, f"data.root={toy}", "model.net.variant=full,no_rnns", "name=table")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    full, no_rnns = sorted((tmp_path / "runs" / "table").iterdir())
    compared = execute("compare_ablations.ipynb", DEBLURZOO_RUNS="runs")
    check_comparison(compared, [f"table {full.name}", f"table {no_rnns.name}"])
    check_inside(execute("look_inside_svrnn.ipynb", DEBLURZOO_RUN=str(full)))
    with pytest.raises(CellExecutionError, match="is not a full SVRNN: set RUN to a run of"):
        execute("look_inside_svrnn.ipynb", DEBLURZOO_RUN=str(no_rnns))


def check_comparison(shown: Executed, names: list[str]) -> None:
    for name in names:
        assert f"| {name} |" in shown.text
    assert f"of {SMALL_TOY.frames} images" in shown.text

    plots = [figure for figure in shown.figures if figure["data"][0]["type"] == "scatter"]
    assert [figure["layout"]["yaxis"]["title"]["text"] for figure in plots] == [
        *("validation PSNR (dB)", "training loss"),
        *("PSNR (dB)", "PSNR (dB)"),
    ]
    for figure in plots:
        assert [trace["name"] for trace in figure["data"]] == names
    ablation, bars = [figure["data"] for figure in shown.figures if figure["data"][0]["type"] == "bar"]
    assert [trace["y"] for trace in ablation] == [[names[1]]] and names[
        0
    ] in shown.text  # the full one is the reference
    assert sum(len(trace["x"]) for trace in bars) == SMALL_TOY.frames

    assert len(shown.headings) == SMALL_TOY.frames
    for blurry, *restored, sharp in shown.headings:
        assert blurry.endswith(",blurry") and sharp == "sharp"
        assert {text.rpartition(",")[0] for text in restored} == {name.replace(" ", "") for name in names}


def check_inside(shown: Executed) -> None:
    first, *inside, last = shown.headings
    assert first[-1] == last[-1] == "sharp" and len(first) == len(last) == 3
    assert inside == [
        [name.replace(" ", "") for name in DIRECTIONS],
        [name.replace(" ", "") for name in DIRECTIONS],
        ["beforetheRNNs", "aftertheRNNs"],
        ["withconvolutions", "withoutconvolutions"],
    ]
