"""`deblurzoo data pack`: write the images of a data set as arrays, so that training reads crops without decoding."""

from omegaconf import DictConfig

from deblurzoo.commands.data_check import source_of
from deblurzoo.data import ClipSource, Joined
from deblurzoo.data.packing import pack
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import require_output, user_path
from deblurzoo.records import typed


def run(cfg: DictConfig) -> None:
    """Pack the data set `cfg.data` into the folder `cfg.out`, or each part of a joined data set into a subfolder."""
    source, out = source_of(cfg), user_path(str(cfg.out))
    require_output(out, f"out={out}")
    parts = [part for part in source.parts if isinstance(part, ClipSource)]
    if len(parts) < len(source.parts):
        raise DeblurzooError(f"data={source.name} cannot be packed: use its image files directly")
    if any(part.packed for part in parts) or not source.splits:
        raise DeblurzooError(
            "there are no images to pack: set the folders of the data set, and leave data.packed unset"
        )
    for part in parts:
        for split in part.splits:
            part.clip_files(split)  # report missing files before hours of packing
    for part in parts:
        folder = out / part.name if isinstance(source, Joined) else out
        index = pack(part, folder)
        size = len(part.kinds) * sum(clip.nbytes for clip in index.clips)
        print(f"{folder}: {len(index.clips)} clips of {part.name}, {size / 1e9:.2f} GB, verified")
    print(f"to read the pack, set {typed('data.packed', out)}; the image files are no longer needed")
