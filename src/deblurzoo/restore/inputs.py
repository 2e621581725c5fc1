"""Record of the input of each result in a folder, so that another input of the same name is not taken for finished."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from deblurzoo.errors import DeblurzooError, few_of
from deblurzoo.files import is_file, sha256
from deblurzoo.restore.jobs import Job

RECORD = ".deblurzoo.jsonl"
"""Name of the file, with a JSON object per line: the path of a result in the folder, its input and SHA-256 of it."""


def record_input(out: Path, job: Job, compare: bool) -> None:
    """Append the input of a result and, if `compare` is set, of its comparison to the record of the folder `out`."""
    made = {"input": str(job.source), "sha256": sha256(job.source)}
    with (out / RECORD).open("a") as file:
        for result in filter(is_file, job.results(compare)):
            entry = {"result": str(result.relative_to(out)), **made}
            file.write(f"\n{json.dumps(entry)}")  # a line that was cut off by a crash stays a line of its own


def require_same_inputs(out: Path, jobs: Sequence[Job], compare: bool) -> None:
    """Raise a DeblurzooError if existing results or comparisons were made of other inputs than their jobs have.

    Results without a record, as of version 0.1, count as results of the same input. A moved or copied input counts as
    the same, since its content is compared.
    """
    made = _recorded(out)
    others = []
    results = [(job, result) for job in jobs for result in job.results(compare)]
    for job, result in results:
        entry = made.get(str(result.relative_to(out))) if is_file(result) else None
        with suppress(OSError):  # an input that cannot be read any more has nothing to compare
            if entry and sha256(job.source) != entry["sha256"]:
                other = f"{entry['input']}, not of {job.source}"
                same_path = entry["input"] == str(job.source)
                others.append(f"{result} was made of {f'another {job.source}' if same_path else other}")
    if others:
        raise DeblurzooError(
            f"results of other inputs exist ({few_of(others, 3)}): choose another --out folder; --overwrite replaces "
            "results"
        )


def _recorded(out: Path) -> dict[str, dict[str, str]]:
    """Return the last entry of each result in a folder; lines that are not entries are ignored."""
    entries = {}
    with suppress(OSError):
        for line in (out / RECORD).read_text(errors="replace").splitlines():
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                entry = json.loads(line)
                entries[str(entry["result"])] = {"input": str(entry["input"]), "sha256": str(entry["sha256"])}
    return entries
