"""The documents point to what is there: links, files, commands and their options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from jobs import cli, command, options
from tests.processes import ROOT

COMMANDS = cli.commands()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text("utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_files_that_are_named_are_there(page: Path) -> None:
    """A path in backticks that begins with one of our packages, NAME and … aside."""
    named = re.findall(
        r"`((?:pipeline|siglip_core|jobs|scenes|benchmarks|configs|demo|tests)/[\w./-]+)`", page.read_text()
    )
    missing = [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    assert missing == []


@cache
def flags(name: str) -> set[str]:
    """The options of a command."""
    found: list[type[BaseModel]] = []
    patched = pytest.MonkeyPatch()
    with patched.context() as patch:
        patch.setattr(command, "run", lambda model, *_: found.append(model) or 0)
        import_module(f"jobs.{name}").main([])
    ours = {options.flag(key) for key in found[0].model_fields}
    negated = {
        f"--no-{key.replace('_', '-')}" for key, field in found[0].model_fields.items() if field.annotation is bool
    }
    return ours | negated | {"--help", "--config", "--print-config", "--json"}


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(command, its arguments) of each line of the page's shell blocks that runs siglane."""
    for block in re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:\bsiglane|python -m jobs\.)\s*(\w+)(.*)", line)
            if found and found[1] in COMMANDS:
                arguments = found[2].split(" #")[0].replace("…", "x")
                words = shlex.split(arguments, posix=False)
                if "--" in words:  # `siglane submit -- NAME …`
                    own, (name, *others) = words[: words.index("--")], words[words.index("--") + 1 :]
                    yield name, [word for word in others if word.startswith("-")]
                    words = own
                yield found[1], [word for word in words if word.startswith("-")]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_options_of_commands_that_are_shown_exist(page: Path) -> None:
    unknown = [
        f"{name} {word}"
        for name, words in commands(page)
        for word in words
        if word.partition("=")[0] not in flags(name)
    ]
    assert unknown == []


def test_there_is_something_to_check() -> None:
    assert len(PAGES) > 15
    assert sum(len(list(commands(page))) for page in PAGES) > 50
    assert {name for page in PAGES for name, _ in commands(page)} == set(COMMANDS)
