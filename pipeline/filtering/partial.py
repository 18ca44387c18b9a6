"""The folder of an unfinished filter: `OUTPUT.partial-…`, named after the process that writes it.

In it are the output and the folder beside it, under their own names, and while an earlier output is replaced, that one.

The name distinguishes leftovers of a killed filter from a folder that another filter is still writing. A process of
this machine is recognised by its pid and start time. Processes on other machines cannot be checked.
"""

from __future__ import annotations

import glob
import logging
import re
import shutil
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

from pipeline import processes, table
from pipeline.errors import SiglaneError, UsageError
from pipeline.filtering.manifest import Manifest, beside
from pipeline.processes import Life, Process

log = logging.getLogger(__name__)

_REPLACED = "replaced"
"""folder in the partial one for an earlier output while it is replaced"""


def make(output: Path) -> Path:
    """Creates a new folder for this process to write: an empty folder for the output, and one for what is beside it.

    Raises:
        UsageError: it cannot be created there.
    """
    process = Process.this()
    word = f"{_digest(process.place)}-{process.pid}-{process.start}-{uuid4().hex[:8]}"
    folder = output.with_name(f"{output.name}.partial-{word}")
    try:
        folder.mkdir(parents=True)
        written(folder).mkdir()
        beside(written(folder)).mkdir()
    except OSError as error:
        raise UsageError(
            f"output {output}: cannot write to {output.parent}: {error.strerror}; choose another --output"
        ) from error
    return folder


def written(folder: Path) -> Path:
    """The output in a partial folder."""
    return folder / folder.name.rpartition(".partial-")[0]


def publish(folder: Path, output: Path, overwrite: bool) -> None:
    """Moves the finished output to its place. The output comes last, so it never is there without its manifest.

    Raises:
        UsageError: there is an output already, and `overwrite` is not set.
    """
    earlier = folder / _REPLACED / output.name
    if overwrite and output.exists():
        earlier.parent.mkdir()
        _move(output, earlier)
    elif beside(output).exists() and not output.exists():
        shutil.rmtree(beside(output))  # of an output that was deleted, or of a filter that was killed right here
    try:
        beside(written(folder)).replace(beside(output))
        written(folder).rename(output)
    except OSError as error:
        if not output.exists():
            raise
        raise UsageError(
            f"output {output}: another filter has written it meanwhile; choose another --output"
        ) from error


def _move(output: Path, to: Path) -> None:
    output.replace(to)
    if beside(output).exists():
        beside(output).replace(beside(to))


def remove_dead(output: Path) -> None:
    """Removes what killed filters to `output` have left on this machine, and the tags that they gave to tables."""
    for folder in sorted(output.parent.glob(f"{glob.escape(output.name)}.partial-*")):
        found = _life(folder.name.removeprefix(f"{output.name}.partial-"))
        if found is Life.DEAD:
            _remove(folder, output)
        elif found is Life.ALIVE:
            log.warning("%s: another filter is writing this folder; not removed", folder)
        else:
            log.warning(
                "%s: a filter on another machine, in another container or before the last boot wrote this folder, and "
                "may still be running there; remove the folder if no filter is running",
                folder,
            )


def restore(folder: Path, output: Path) -> None:
    """Undoes the moves of `publish`, if the new output has not come to its place: an earlier one comes back."""
    if output.exists():
        return
    new, earlier = written(folder), folder / _REPLACED / output.name
    if new.exists() and not beside(new).exists() and beside(output).exists():
        beside(output).replace(beside(new))
    if earlier.exists():
        _move(earlier, output)


def discard(folder: Path, output: Path) -> None:
    """Removes a partial folder, and the tags of the outputs in it: an unfinished one, and one that was replaced.

    Raises:
        SiglaneError: a table cannot be read or written.
        OSError: a file cannot be removed.
    """
    for of in (written(folder), folder / _REPLACED / output.name, folder):
        _forget_state(of)
    shutil.rmtree(folder)


def _forget_state(output: Path) -> None:
    """Removes the tag that a filter gave to its version of the table, unless other filters use it."""
    try:
        manifest = Manifest.read(output)
    except UsageError:
        return  # the filter writes the complete manifest before it sets the tag, so there is no tag yet
    if manifest.tag is not None and manifest.tag_is_new:
        uri = replace(table.parse(manifest.table), state=None)
        named = table.open_if_exists(uri)
        if named is not None:
            named.untag(manifest.tag, manifest.table_version)


def _remove(folder: Path, output: Path) -> None:
    try:
        restore(folder, output)
        discard(folder, output)
    except (SiglaneError, OSError) as error:
        log.warning("%s: a killed filter left this folder, and it cannot be removed completely: %s", folder, error)
    else:
        log.warning("%s: a killed filter left this folder; removed", folder)


def _life(word: str) -> Life:
    found = re.fullmatch(r"([0-9a-f]{16})-(\d+)-(\d*)-[0-9a-f]{8}", word)
    if found is None or found[1] != _digest(processes.place()):
        return Life.UNKNOWN
    return Process(processes.place(), int(found[2]), found[3]).life


def _digest(place: str) -> str:
    return blake2b(place.encode(), digest_size=8).hexdigest()
