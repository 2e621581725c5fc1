"""`deblurzoo deblur`: a trained network on somebody's own photos and videos."""

import argparse
from typing import get_args

from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import add_trust, trust
from deblurzoo.files import user_path
from deblurzoo.restore import Device, Precision


def main(arguments: list[str]) -> None:
    """Run `deblurzoo deblur`."""
    parser = argparse.ArgumentParser(
        "deblurzoo deblur",
        description="Restore pictures (PNG, JPEG, TIFF, WebP), videos, and folders of them.",
        epilog="Results keep names, depth, gray, alpha, colour profile, EXIF, sound and time stamps; pictures are "
        "written upright. Results that are there already are skipped. One bad file stops no other; the exit code is "
        "then 1.",
    )
    parser.add_argument("inputs", nargs="+", type=user_path, metavar="INPUT", help="picture, video, or folder of them")
    parser.add_argument(
        "--checkpoint", type=user_path, required=True, metavar="CKPT", help="run folder, .ckpt or export"
    )
    parser.add_argument("--out", type=user_path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="restore anew what is in OUT already")
    parser.add_argument("--compare", action="store_true", help="also write blurry | restored, NAME.compare.SUFFIX")
    parser.add_argument("--frames", action="store_true", help="the pictures of a folder are consecutive frames")
    parser.add_argument("--memory", metavar="SIZE", help="take no more than this, such as 2GB; else what is free")
    parser.add_argument("--device", choices=get_args(Device), default="auto")
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32")
    add_trust(parser)
    run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Restore the files that are named; raise a DeblurzooError if one could not be restored."""
    # torch takes seconds to import, and the help needs none of it.
    from deblurzoo.restore.jobs import find_jobs, gap_notes, notes
    from deblurzoo.restore.memory import parse_bytes
    from deblurzoo.restore.progress import restore_all
    from deblurzoo.restore.restorer import Restorer
    from deblurzoo.training.checkpoints import load_any

    trust(options.trust)
    jobs = find_jobs(options.inputs, options.out, options.frames, options.compare)
    memory = parse_bytes(options.memory) if options.memory else None
    restorer = Restorer(load_any(options.checkpoint), options.device, options.precision, memory)
    todo = [job for job in jobs if options.overwrite or not job.target.exists()]
    if skipped := len(jobs) - len(todo):
        print(f"{skipped} of {len(jobs)} are in {options.out} already (--overwrite restores them anew)")
    for note in notes(todo, restorer.frames, options.frames):
        print(note)
    if todo and options.frames and restorer.frames > 1:
        for note in gap_notes(options.inputs, options.out):
            print(note)
    failed = restore_all(todo, restorer, options.compare)
    if failed:
        raise DeblurzooError(f"{failed} of {len(jobs)} could not be restored, as said above; the others are done")
