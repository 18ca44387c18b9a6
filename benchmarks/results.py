"""Runs the benchmarks of speed and writes what they print into benchmarks/RESULTS.md, with machine and versions.

    python -m benchmarks.results [NAME…]

Without names, all of `BENCHMARKS` run, one after the other; with names, those, and the other sections of the file stay
as they are. Each section says when it was measured and at which commit. The machine should have nothing else to do.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
BENCHMARKS: dict[str, tuple[str, list[list[str]]]] = {
    "encoder": ("The encoders on CPUs", [[]]),
    "preprocessing": ("Decoding and resizing", [[]]),
    "job": (
        "The whole job",
        [
            ["FOLDER", "--rounds", "1", "--runs", "bare,local,ray,ray-recipe,daft,local-fast,ray-fast"],
            ["FOLDER", "--bound", "encoder", "--rounds", "1", "--runs", "bare,local,ray"],
        ],
    ),
    "gpu": ("On a GPU", [[]]),
    "sources": ("Reading formats", [[]]),
    "filtering": ("Scoring and filtering", [["10000000", "64"]]),
    "serving": ("Serving searches", [["FOLDER"]]),
    "search": ("Searching", [["FOLDER", "200000", "faiss-ivf-pq", "faiss-hnsw", "usearch"]]),
    "export": ("Exporting images", [[]]),
}
"""by module: the heading, and the arguments of each run; FOLDER becomes a temporary folder, one for all runs"""
LIBRARIES = (
    "torch",
    "ray",
    "pylance",
    "lancedb",
    "faiss-cpu",
    "usearch",
    "pyarrow",
    "pillow",
    "simplejpeg",
    "transformers",
    "openvino",
    "daft",
)


def main(*names: str) -> None:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise SystemExit(f"no benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    sections = _sections(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for name in names or BENCHMARKS:
        sections[name] = _section(name)
        # After each one, so that a run that is stopped keeps what it has measured.
        RESULTS.write_text(_page(sections), "utf-8")


def _sections(page: str) -> dict[str, str]:
    """The sections of the page by the benchmark's name, which each ends with."""
    found = re.findall(r"^## .*?^`python -m benchmarks\.(\w+)[^\n]*\n", page, re.DOTALL | re.MULTILINE)
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    return dict(zip(found, (part.strip() for part in parts), strict=True))


def _section(name: str) -> str:
    heading, runs = BENCHMARKS[name]
    parts = [f"## {heading}"]
    with tempfile.TemporaryDirectory() as folder:
        parts += [_printed(name, [folder if each == "FOLDER" else each for each in given]) for given in runs]
    shown = " and ".join(" ".join(["python -m", f"benchmarks.{name}", *arguments]) for arguments in runs)
    return "\n\n".join([*parts, f"`{shown}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}"])


def _printed(name: str, arguments: Sequence[str]) -> str:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        return f"Not measured: it ended with code {run.returncode}."
    printed = run.stdout.strip()
    return f"```json\n{printed}\n```" if printed.startswith("{") else printed


def _page(sections: dict[str, str]) -> str:
    ordered = [sections[name] for name in BENCHMARKS if name in sections]
    return "\n\n".join(["# Measured speed", _intro(), *ordered]) + "\n"


def _intro() -> str:
    return (
        "Written by `make bench`. Competitors take turns, and figures are medians. Ratios hold better than rates on a "
        f"machine that others use.\n\nMachine of the last run: {_machine()}."
    )


def _machine() -> str:
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    units = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in _flags()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} CPUs ({model.group(1) if model else platform.machine()}; "
        f"{', '.join(units)}), {memory:.0f} GiB, Python {platform.python_version()}, {', '.join(_versions())}"
    )


def _flags() -> set[str]:
    flags = re.search(r"^flags\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return set(flags.group(1).split()) if flags else set()


def _versions() -> list[str]:
    found = []
    for library in LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            found.append(f"no {library}")
    return found


def _commit() -> str:
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=9"], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or "unknown"


if __name__ == "__main__":
    main(*sys.argv[1:])
