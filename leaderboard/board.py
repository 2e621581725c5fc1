"""Write or check the tables of the leaderboard, and draw its page.

`python leaderboard/board.py` writes the tables into README.md from all results in this folder. `--check` only checks
that the results are complete and that the tables are up to date. `--page FILE` also writes the page of all results.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from deblurzoo.errors import DeblurzooError, as_program
from deblurzoo.files import write_atomically
from deblurzoo.reports.page import Evaluation, write_page
from deblurzoo.reports.results import Results, inconsistent, read
from deblurzoo.reports.table import as_markdown, figure_names
from deblurzoo.reports.views import by_data

FOLDER = Path(__file__).resolve().parent
START, END = "<!-- tables -->\n", "<!-- end of tables -->"


def main() -> None:
    """Run the program; raise a DeblurzooError if a file is wrong."""
    parser = argparse.ArgumentParser(description="Write the tables of the leaderboard into README.md.")
    parser.add_argument("--check", action="store_true", help="only check the results and the tables")
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write the page of all results")
    options = parser.parse_args()
    found = {file: read(file) for file in sorted(FOLDER.glob("*.json"))}
    if problems := list(_problems(found)):
        raise DeblurzooError("\n".join(problems))
    _write(list(found.values()), options.check)
    if options.page:
        write_page([Evaluation.of(file, results) for file, results in found.items()], [], options.page, True)


def _problems(files: dict[Path, Results]) -> Iterator[str]:
    """Yield a line for each rule that a file breaks."""
    names: dict[tuple[str, ...], Path] = {}
    images: dict[tuple[object, ...], tuple[object, Path]] = {}
    for file, results in files.items():
        conditions = (results.dataset, results.protocol, results.blur_folder, str(results.common_frames))
        rounding, fingerprint = results.rounding, results.data.fingerprint
        if wrong := inconsistent(results):
            yield f"{file.name}: {wrong}: evaluate again"
        if not fingerprint:
            yield f"{file.name}: no fingerprint of the test images: evaluate again"
        if results.incomplete_clips:
            yield f"{file.name}: {len(results.incomplete_clips)} test clips are incomplete: evaluate the whole data set"
        if results.is_of_images and not results.source:
            yield f"{file.name}: no source of the restored images: evaluate with source=URL"
        first = names.setdefault((results.name, *conditions, rounding), file)
        if first is not file:
            yield f"{file.name}: {first.name} has the same network, data set and conditions: keep one of them"
        # Networks of several input frames restore fewer frames of a clip.
        excluded = sorted(results.nothing_to_restore)
        frames, found = len(results.images) + len(excluded), (fingerprint, excluded)
        theirs, other = images.setdefault((*conditions, frames), (found, file))
        if theirs != found:
            yield f"{file.name}: its test images differ from {other.name}: `deblurzoo data check` compares counts"


def _write(all_results: list[Results], only_check: bool) -> None:
    """Write the tables into README.md, or raise a DeblurzooError if they are not up to date."""
    page = FOLDER / "README.md"
    before = page.read_text(encoding="utf-8")
    head, start, rest = before.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise DeblurzooError(f"{page} has no lines {START.strip()} and {END}: restore them")
    tables = [as_markdown(all_results, [], by_data(name)).rstrip() for name in figure_names(all_results)]
    content = "\n\n".join(tables or ["There are no results yet."])
    after = f"{head}{START}\n{content}\n\n{END}{tail}"
    if after == before:
        return
    if only_check:
        raise DeblurzooError("the tables of README.md are not up to date: run `python leaderboard/board.py`")
    write_atomically(page, after.encode())


if __name__ == "__main__":
    as_program(main)
