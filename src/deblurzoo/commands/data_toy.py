"""`deblurzoo data toy`: the toy data set, made on the spot."""

import argparse

from deblurzoo.files import user_path
from deblurzoo.synthesis.options import ToyOptions


def main(arguments: list[str]) -> None:
    """Run `deblurzoo data toy`."""
    parser = argparse.ArgumentParser("deblurzoo data toy", description="Make the toy data set.")
    parser.add_argument("--out", type=user_path, required=True, help="folder to make")
    for name, default in vars(ToyOptions()).items():
        action = {"action": "store_true"} if default is False else {"type": type(default), "default": default}
        parser.add_argument(f"--{name.replace('_', '-')}", **action)
    options = vars(parser.parse_args(arguments))
    from deblurzoo.synthesis.toy import write_toy  # OpenCV and torch take seconds to import, the help needs none

    out = options.pop("out")
    write_toy(out, ToyOptions(**options))
    print(f"toy data in {out}")
