"""`siglane NAME …`: finds the command's module and runs it. It imports nothing heavy, so `--help` answers at once."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

import pipeline


def main(arguments: list[str] | None = None) -> int:
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    known = commands()
    if name in ("--version", "-V", "version"):
        sys.stdout.write(f"siglane {pipeline.__version__}\n")
        return 0
    if name in ("-h", "--help", "help"):
        if name != "help" or not rest:
            _print_help(known)
            return 0
        name, rest = rest[0], ["--help"]
    if name not in known:
        sys.stderr.write(f"siglane: {_unknown(name, known)}\n")
        return 2
    return int(import_module(f"jobs.{name}").main(rest))


def _unknown(name: str, known: Iterable[str]) -> str:
    if name.startswith("-"):
        return f"write the command before {name}: `siglane COMMAND {name} …`; `siglane --help` lists the commands"
    near = get_close_matches(name, known, n=2)
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"no command {name!r}; {guess}`siglane --help` lists the commands"


def commands() -> dict[str, str]:
    """Every command with the first line of its module's docstring, which is read without importing the module.

    A command is a module beside this one that defines `main`.
    """
    modules = {path.stem: ast.parse(path.read_text("utf-8")) for path in sorted(Path(__file__).parent.glob("*.py"))}
    return {
        name: (ast.get_docstring(module) or "").partition("\n")[0]
        for name, module in modules.items()
        if name != Path(__file__).stem and _defines_main(module)
    }


def _defines_main(module: ast.Module) -> bool:
    return any(isinstance(part, ast.FunctionDef) and part.name == "main" for part in module.body)


def _print_help(commands: dict[str, str]) -> None:
    lines = [f"  {name:<8} {summary}" for name, summary in commands.items()]
    sys.stdout.write(
        "usage: siglane COMMAND [options]\n\n"
        "Embeds image–text datasets with SigLIP into a LanceDB table, then scores, filters and searches it.\n\n"
        + "\n".join(lines)
        + "\n\n`siglane COMMAND --help` lists the options of a command. `python -m jobs.COMMAND` runs it too.\n"
        "`siglane --version` prints the version.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
