"""`deblurzoo deblur`: restore photos and videos with a trained network."""

import argparse
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import get_args

from deblurzoo import shipped
from deblurzoo.commands.options import add_checkpoint, add_out
from deblurzoo.errors import DeblurzooError, escaped
from deblurzoo.extensions import add_trust, trust
from deblurzoo.files import is_file, user_path
from deblurzoo.restore import Device


def main(arguments: list[str]) -> None:
    """Run `deblurzoo deblur`."""
    parser = argparse.ArgumentParser(
        "deblurzoo deblur",
        description="Restore photos, videos, and folders of photos and videos.",
        epilog="Results keep the input's name, bit depth, grayscale, alpha, colour profile, EXIF, sound and time "
        "stamps. PNG, JPEG, TIFF, WebP and BMP photos keep their format, others become PNGs. Photos are written "
        "upright. Existing results are skipped. If a file fails, the other files are still restored, and the exit code "
        "is 1.",
    )
    parser.add_argument("inputs", nargs="+", type=user_path, metavar="INPUT", help="photo, video, or folder")
    add_checkpoint(parser, required=False, default=shipped.DEFAULT)
    add_out(parser, "folder for the results (default: deblurred)", default=Path("deblurred"))
    parser.add_argument("--overwrite", action="store_true", help="replace existing results in DIR")
    parser.add_argument("--compare", action="store_true", help="also write NAME.compare.SUFFIX: blurry | restored")
    parser.add_argument("--frames", action="store_true", help="treat the images of a folder as consecutive frames")
    limit = "memory limit, such as 2GB (default: about 2.5GB, or more if needed; on a GPU, most of the free memory)"
    parser.add_argument("--memory", metavar="SIZE", help=limit)
    parser.add_argument("--device", choices=get_args(Device), default="auto", help="default: auto (a GPU if present)")
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="default: fp32")
    fast = "bf16 if the device has bfloat16 instructions, otherwise fp32"
    speed.add_argument("--fast", dest="precision", action="store_const", const="fast", help=fast)
    ensemble = "restore eight flips and rotations of each image, and write their mean; takes eight times as long"
    parser.add_argument("--self-ensemble", action="store_true", help=ensemble)
    add_trust(parser)
    run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Restore the given files; raise a DeblurzooError if a file cannot be restored."""
    # Deferred: torch takes seconds to import, and --help does not need it.
    from deblurzoo.restore.inputs import record_input, require_same_inputs
    from deblurzoo.restore.jobs import find_jobs, gap_notes, notes
    from deblurzoo.restore.memory import parse_bytes
    from deblurzoo.restore.progress import restore_all
    from deblurzoo.restore.restorer import Restorer
    from deblurzoo.training.checkpoints import load_any
    from deblurzoo.training.cores import free_cores

    if options.checkpoint is None:
        known = ", ".join(shipped.names()) or "none yet"
        raise DeblurzooError(
            "--checkpoint is missing, as no network is good enough to be the default: give a run folder, a .ckpt file, "
            f"an export, or a name that `deblurzoo weights` lists ({known})"
        )
    trust(options.trust)
    jobs = find_jobs(options.inputs, options.out, options.frames, options.compare)
    finished = {job.target for job in jobs if not options.overwrite and is_file(job.target)}
    if not options.overwrite:
        require_same_inputs(options.out, jobs, options.compare)
    memory = parse_bytes(options.memory) if options.memory else None
    net = load_any(options.checkpoint)
    restorer = Restorer(net, options.device, options.precision, memory, options.self_ensemble)
    todo = [job for job in jobs if job.target not in finished]
    if finished:
        count = f"{len(finished)} of {len(jobs)} files skipped"
        print(f"{count}: results exist in {options.out} (--overwrite replaces results)")
        if lacking := [job for job in jobs if job.target in finished and options.compare and not is_file(job.compare)]:
            print(f"{len(lacking)} of them have no comparison: --overwrite restores them again, with comparison")
    for note in notes(todo, restorer.frames, options.frames):
        print(escaped(note))
    if todo and options.frames and restorer.frames > 1:
        for note in gap_notes(options.inputs, options.out):
            print(escaped(note))
    record = partial(record_input, options.out, compare=options.compare)
    with free_cores(options.device, begun=None) if todo else nullcontext():
        failed = restore_all(todo, restorer, options.compare, record)
    if failed:
        rest = "; all other files are restored" if failed < len(jobs) else ""
        raise DeblurzooError(f"{failed} of {len(jobs)} files could not be restored, see above{rest}")
