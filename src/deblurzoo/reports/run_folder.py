"""Which evaluation a folder holds: told by the pictures, the conditions and the checkpoint."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deblurzoo.errors import DeblurzooError
from deblurzoo.records import Begun, Evaluated, load_record

Facts = dict[str, Any]
RESULTS, FACTS = "results.json", "facts.json"


def unfinished(folder: Path) -> Path:
    """Return where an evaluation is collected that will be put into a folder."""
    return folder.parent / f".{folder.resolve().name}.unfinished"


def differences(theirs: Facts, ours: Facts) -> dict[str, str]:
    """Return in what two evaluations differ, in words by the name of each condition; nothing if they are the same one.

    Args:
        theirs, ours: facts of the shape `Begun`; of version 0.1 without `data`, they say where the pictures lay.
    """
    by_pictures = bool(theirs.get("data") and ours.get("data"))
    there, here = (_conditions(facts, by_pictures) for facts in (theirs, ours))
    words, our_words = (_in_words(facts) for facts in (theirs, ours))
    return {
        key: f"{key} {words.get(key, there[key])} there, {our_words.get(key, here[key])} here"
        for key in there
        if there[key] != here[key]
    }


def _conditions(facts: Facts, by_pictures: bool) -> dict[str, Any]:
    """Return all that tells an evaluation from others."""
    config = facts["config"]
    return {
        "checkpoint": facts["checkpoint"]["sha256"],
        "data": facts["data"]["fingerprint"] if by_pictures else config["data"],
        "protocol": facts["protocol"],
        "blur": facts["blur_folder"],
        "common_frames": facts.get("common_frames"),
        "switch": config["switch"],
        "rounding": config["rounding"],
        "precision": config["trainer"]["precision"],
    }


def _in_words(facts: Facts) -> dict[str, str]:
    """Return checkpoint and pictures of an evaluation as people call them."""
    checkpoint = facts["checkpoint"]
    place = (facts.get("data") or {}).get("place", facts["config"]["data"])
    return {"checkpoint": f"{checkpoint['file']} ({checkpoint['sha256'][:8]})", "data": str(place)}


def held(folder: Path) -> Facts | None:
    """Return the facts of the evaluation that a folder holds or will hold; None if there is none, or a damaged one."""
    for file in (folder / RESULTS, unfinished(folder) / FACTS):
        with suppress(DeblurzooError):
            return load_record(file, Begun, "evaluate anew")
    return None


def is_finished(folder: Path, facts: Facts, metrics: Sequence[str]) -> bool:
    """Whether a folder holds the results of this evaluation, with all these figures."""
    with suppress(DeblurzooError):
        measured = load_record(folder / RESULTS, Evaluated, "evaluate anew")["restored"]
        theirs = load_record(folder / RESULTS, Begun, "evaluate anew")
        return not differences(theirs, facts) and set(metrics) <= set(measured)
    return False


def require_free(folder: Path, facts: Facts) -> None:
    """Raise a DeblurzooError that names both if a folder holds the results of another evaluation."""
    theirs = held(folder) if (folder / RESULTS).is_file() else None
    if theirs and (differing := differences(theirs, facts)):
        raise DeblurzooError(
            f"out={folder} holds the results of another evaluation ({'; '.join(differing.values())}): "
            "give another folder"
        )


def folder_for(parent: Path, usual: str, facts: Facts) -> Path:
    """Return the folder of an evaluation below `parent`: its own, else a free one.

    It is the usual one unless another evaluation has that; then pictures and step are named too, as in
    `folder_blur_REDS_step1000`. Where even such a folder is taken, the name ends in a hash of all conditions.
    """
    name, step = facts["data"]["name"], f"step{facts['checkpoint']['step']}"
    longer = [usual, step] if name in ("", facts["protocol"]) else [usual, name, step]
    hashed = hashlib.sha256(json.dumps(_conditions(facts, by_pictures=True)).encode()).hexdigest()
    folders = [parent / "_".join(parts) for parts in ([usual], longer, [usual, hashed[:12]])]
    holders = [held(folder) for folder in folders]
    own = [folder for folder, theirs in zip(folders, holders, strict=True) if theirs and not differences(theirs, facts)]
    free = [folder for folder, theirs in zip(folders, holders, strict=True) if theirs is None]
    return [*own, *free, folders[-1]][0]
