"""Completion of command lines by Bash, zsh and fish."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import user_path

FLAGS = ("-sc", "--shell-completion")
_REQUEST = re.compile(r"(install|query)=(bash|fish|zsh)")
_PATHS = ("checkpoint", "init", "resume", "restored", "out", "paths.runs")
"""Keys whose values are paths."""
# Hydra's own scripts split names of files at spaces in Bash, and complete no names of files in fish.
_BASH = r"""_deblurzoo()
{
    local IFS=$'\n'
    COMPREPLY=($(COMP_LINE="${COMP_LINE:0:$COMP_POINT}" "${COMP_WORDS[0]}" -sc query=bash 2> /dev/null))
    [[ ${COMPREPLY[0]} == *[=./] ]] || compopt +o nospace 2> /dev/null
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _deblurzoo deblurzoo"""
_ZSH = f"""(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit; }}
autoload -Uz bashcompinit && bashcompinit
{_BASH}"""
_FISH = """function __deblurzoo
    set -lx COMP_LINE (commandline -cp)
    set -l words (commandline -cpo)
    $words[1] -sc query=fish 2> /dev/null
end
complete -c deblurzoo -f -a '(__deblurzoo)'
complete -c deblurzoo -n 'test (count (commandline -cpo)) -gt 1' -F"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""Code that installs the completion in a shell."""


def complete(
    arguments: Sequence[str], verbs: Sequence[str], of_hydra: Sequence[str], run: Callable[[str, list[str]], None]
) -> None:
    """Print the completions of the line COMP_LINE, one per line, or the code that installs them in a shell.

    Args:
        arguments: one of `FLAGS` and `install=SHELL` or `query=SHELL`, after a Hydra command or no command.
        verbs: all commands.
        of_hydra: commands whose overrides Hydra completes.
        run: runs a command with arguments.

    Raises:
        DeblurzooError: the arguments are no such request.
    """
    *before, last = [argument for argument in arguments if argument not in FLAGS] or [""]
    request = _REQUEST.fullmatch(last)
    if not request or " ".join(before) not in ("", *of_hydra):
        raise DeblurzooError("-sc requires one argument: type install=SHELL, where SHELL is bash, fish or zsh")
    if request[1] == "install":
        print(_SCRIPTS[request[2]])
        return
    line = os.environ.get("COMP_LINE", "")
    words = [*line.split()[1:], *[""] * line.endswith(" ")] or [""]
    found = [verb.split() for verb in verbs]
    verb = next((" ".join(parts) for parts in found if words[: len(parts)] == parts and len(words) > len(parts)), None)
    if verb is None:
        place = len(words) - 1
        fitting = (parts[place] for parts in found if len(parts) > place and parts[:place] == words[:place])
        print(*dict.fromkeys(word for word in fitting if word.startswith(words[place])), sep="\n")
    elif verb in of_hydra:
        os.environ["COMP_LINE"] = " ".join(["deblurzoo", *words[len(verb.split()) :]])
        if paths := list(_paths(words[-1])):
            print(*paths, sep="\n")
        else:
            run(verb, ["-sc", "query=fish"])  # one per line


def _paths(override: str) -> Iterator[str]:
    """Yield the completions of an override whose value is a path. Names with spaces would need a shell's quotes."""
    key, equals, start = override.partition("=")
    folder, slash, begun = start.rpartition("/")
    if equals and (key in _PATHS or key.endswith(".root")):
        with suppress(OSError):
            for path in sorted(user_path(folder + slash or ".").iterdir()):
                # Hidden names are shown if their dot is typed.
                if path.name.startswith(begun or path.name.lstrip(".")) and " " not in path.name:
                    yield f"{key}={folder}{slash}{path.name}{'/' * path.is_dir()}"
