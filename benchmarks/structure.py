"""How the code is laid out: rooms, what they import of each other, and whether any imports run in a circle.

    python -m benchmarks.structure [CHECKOUT]

A room is a package or a loose module directly below `pipeline`; the other packages are a room each.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGES = ("jobs", "pipeline", "siglip_core", "scenes")


def modules(root: Path) -> dict[str, Path]:
    """Every module by its name."""
    files = [file for package in PACKAGES for file in sorted((root / package).rglob("*.py"))]
    names = (".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in files)
    return dict(zip(names, files, strict=True))


def imports(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules among the known ones that a file imports."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if (found := name if name in known else node.module) in known:
                    yield found
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def room(module: str) -> str:
    first, *others = module.split(".")
    return ".".join([first, *others[:1]]) if first == "pipeline" else first


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def main(root: Path) -> None:
    known = modules(root)
    graph = {name: set(imports(file, known)) - {name} for name, file in known.items()}
    # A package's own `__init__` hands names of its modules on, and its modules import it: that is no circle of rooms.
    between = {(room(a), room(b)) for a, found in graph.items() for b in found if room(a) != room(b)}
    inside = root / "pipeline"
    layers = next(
        contract["layers"]
        for contract in tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == ["pipeline"]
    )
    rooms: dict[str, set[str]] = {name: set() for name in map(room, known)}
    for a, b in between:
        rooms[a].add(b)
    print(f"loose modules in pipeline/, __init__ included   {len(list(inside.glob('*.py')))}")
    print(f"packages in pipeline/                           {len(list(inside.glob('*/__init__.py')))}")
    print(f"layers in the import contract of pipeline       {len(layers)}")
    print(f"rooms                                           {len(rooms)}")
    print(f"imports between rooms (pairs of rooms)          {len(between)}")
    print(f"circles of rooms                                {' -> '.join(circle(rooms)) or 0}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
