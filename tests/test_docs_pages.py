"""The documents' overrides compose, links lead somewhere, and tables are up to date."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from deblurzoo.files import conf_dir
from deblurzoo.nets import flow_rnn, svrnn
from documents import DOCUMENTS, ROOT, sections


def switches(section: str) -> Iterator[tuple[str, list[str]]]:
    """Yield config name and overrides for each row of a table; a bare word is another value of the previous key."""
    for row in re.findall(r"^\|[^|]*\|(.*)\|$", section, re.M):
        key = ""
        for span in re.findall("`([^`]+)`", row):
            if span.isidentifier() and key:
                span = f"{key}={span}"
            if re.match(r"'?\+?\w[\w./]*=", span):
                key = span.partition("=")[0]
                yield "evaluate" if "deblurzoo evaluate" in row else "train", shlex.split(span.replace("…", "x"))


@pytest.mark.parametrize(
    ("document", "anchor", "base"),
    [
        ("docs/train.md", "overrides", []),
        ("docs/sweeps.md", "", []),
        ("docs/cluster.md", "sweeps-on-slurm", ["hydra/launcher=slurm"]),
    ],
)
def test_the_switches_compose(document: str, anchor: str, base: list[str]) -> None:
    found = list(switches(dict(sections(ROOT / document))[anchor]))
    assert len(found) > 2
    source = "".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for config, overrides in found:
            if overrides[0].startswith("DEBLURZOO_"):
                assert overrides[0].partition("=")[0] in source
            else:
                needed = ["data=toy", "checkpoint=runs/x"] if config == "evaluate" else base
                compose(config, overrides=[*needed, *overrides])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if not re.match(r"\w+:", link):
            name, _, anchor = link.partition("#")
            target = document.parent / name if name else document
            assert target.exists(), link
            assert not anchor or anchor in dict(sections(target)), link


def test_the_tables_of_the_networks_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    tables = importlib.import_module("tables")
    page = tables.PAGE.read_text()
    assert page.count("<!-- table:") == len(tables.NETWORKS) + len(tables.EXPERIMENTS)
    assert tables.written(page) == page, "run python docs/tables.py"


def test_the_page_of_the_networks_names_every_variant() -> None:
    page = (ROOT / "docs/networks.md").read_text()
    assert not [name for name in (*svrnn.VARIANTS, *flow_rnn.VARIANTS) if name != "full" and f"- `{name}`" not in page]
