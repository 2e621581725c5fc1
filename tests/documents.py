"""README, CONTRIBUTING and docs, by section."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
HEADING = re.compile(r"^#{2,} (.+)\n", re.M)


def sections(document: Path) -> Iterator[tuple[str, str]]:
    """Yield anchor and text of each section; the anchor of the title section is empty."""
    top, *rest = HEADING.split(document.read_text())
    yield "", top
    for heading, text in zip(rest[::2], rest[1::2], strict=True):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"), text
