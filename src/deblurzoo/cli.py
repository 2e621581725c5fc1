"""The command line: `deblurzoo COMMAND …`."""

import os
import sys
from functools import partial
from importlib import import_module
from itertools import pairwise
from keyword import iskeyword

from deblurzoo.completion import FLAGS, complete
from deblurzoo.errors import DeblurzooError, as_program, print_escaped, readable_output
from deblurzoo.version import __version__

USAGE = """usage: deblurzoo COMMAND …

  train        train a network:              deblurzoo train experiment=srn_gopro data.root=GOPRO
  evaluate     evaluate a trained network:   deblurzoo evaluate checkpoint=RUN data=gopro data.root=GOPRO
  deblur       restore photos and videos:    deblurzoo deblur INPUT…
  weights      list trained networks:        deblurzoo weights
  verify       measure some images again:    deblurzoo verify RESULTS data.root=GOPRO
  compare      print tables of evaluations:  deblurzoo compare RUN…
  export       save safetensors and ONNX:    deblurzoo export --checkpoint RUN --out DIR --onnx
  import       convert published weights:    deblurzoo import SOURCE --network srn --out DIR
  benchmark    measure speed and memory:     deblurzoo benchmark --out DIR
  experiments  list all experiments:         deblurzoo experiments
  synthesize   synthesize training data:     deblurzoo synthesize VIDEO… --out DIR
  data toy     generate the toy data set:    deblurzoo data toy --out DIR
  data check   check a data set's files:     deblurzoo data check data=gopro data.root=GOPRO
  data pack    pack images for fast reading: deblurzoo data pack data=gopro data.root=GOPRO out=DIR
  data show    draw training samples:        deblurzoo data show experiment=srn_gopro data.root=GOPRO

`deblurzoo COMMAND --help` lists the options of a command, `deblurzoo --version` prints the version. The commands train,
evaluate, data check, data pack and data show take Hydra overrides (KEY=VALUE)."""


VERBS = (
    *(
        "train",
        "evaluate",
        "verify",
        "deblur",
        "weights",
        "compare",
        "export",
        "import",
        "benchmark",
        "experiments",
        "synthesize",
    ),
    *("data toy", "data check", "data pack", "data show"),
)
"""Commands; each is a module of `commands`, with `_` in place of a space, and `import_` for `import`."""
OF_HYDRA = ("train", "evaluate", "data check", "data pack", "data show")
"""Commands that are Hydra programs, with overrides of a config as arguments."""


def _require_values(verb: str, arguments: list[str]) -> None:
    """Raise a DeblurzooError if an argument, or the value of an option or key, is empty, as an unset shell variable.

    An empty path would be the current folder, and an empty text as if the option were not given.
    """
    for before, argument in pairwise([verb, *arguments]):
        name, equals, value = argument.partition("=")
        if not argument:
            raise DeblurzooError(f"the argument after {before} is empty: give a value, or omit it")
        if equals and not value and (verb in OF_HYDRA or name.startswith("--")):
            raise DeblurzooError(f"{argument} is empty: give a value, or omit it")


def _run(verb: str, arguments: list[str]) -> None:
    _require_values(verb, arguments)
    name = verb.replace(" ", "_") + "_" * iskeyword(verb)
    if verb in OF_HYDRA:
        import_module("deblurzoo.commands.hydra_app").run_verb(name, arguments)
    else:
        import_module(f"deblurzoo.commands.{name}").main(arguments)


def _require_utf8_mode() -> None:
    """Start Python again in its UTF-8 mode if the locale has another encoding, in which names would be misread."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def main() -> None:
    """Run the command line."""
    _require_utf8_mode()
    print_escaped()
    with readable_output():
        _main(sys.argv[1:])


def _main(arguments: list[str]) -> None:
    if arguments in ([], ["-h"], ["--help"], ["data", "-h"], ["data", "--help"]):
        print(USAGE)
        return
    if arguments == ["--version"]:
        print(f"deblurzoo {__version__}")
        return
    found = (verb for verb in VERBS if arguments[: len(verb.split())] == verb.split())
    verb = next(found, None)
    if set(FLAGS) & set(arguments):
        run = partial(complete, arguments, VERBS, OF_HYDRA, _run)
    elif verb:
        run = partial(_run, verb, arguments[len(verb.split()) :])
    else:
        print(f"error: unknown command {' '.join(arguments[:2])}\n\n{USAGE}", file=sys.stderr)
        sys.exit(2)
    as_program(run, is_terminable=verb != "train")  # which saves its step
