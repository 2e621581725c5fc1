"""`deblurzoo data toy`: generate the toy data set."""

import argparse

from deblurzoo.commands.options import add_out, at_least
from deblurzoo.synthesis.options import ToyOptions


def main(arguments: list[str]) -> None:
    """Run `deblurzoo data toy`."""
    parser = argparse.ArgumentParser(
        "deblurzoo data toy",
        description="Generate the toy data set, in GOPRO's layout: a simulated camera moves over photos. "
        "--frames is the number of blurry frames per clip. --min-blur and --max-blur bound the camera's mean path "
        "length per exposure, in pixels.",
    )
    add_out(parser, "folder to create", is_new=True)
    for name, default in vars(ToyOptions()).items():
        option = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(option, action="store_true", help="also write the true optical flow")
        else:
            kind = at_least(0) if isinstance(default, int) else float
            parser.add_argument(option, type=kind, default=default, metavar="N", help=f"default: {default}")
    options = vars(parser.parse_args(arguments))
    from deblurzoo.synthesis.toy import write_toy  # deferred: OpenCV and torch take seconds to import

    out = options.pop("out")
    write_toy(out, ToyOptions(**options))
    print(f"toy data in {out}")
