"""The folder of an unfinished filter: `OUTPUT.partial-…`, named after the process that writes it.

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
from pipeline.filtering.manifest import MANIFEST, Manifest
from pipeline.processes import Life, Process

log = logging.getLogger(__name__)


def make(output: Path) -> Path:
    """Creates a new folder beside `output` for this process to write."""
    process = Process.this()
    word = f"{_digest(process.place)}-{process.pid}-{process.start}-{uuid4().hex[:8]}"
    folder = output.with_name(f"{output.name}.partial-{word}")
    folder.mkdir(parents=True)
    return folder


def remove_dead(output: Path) -> None:
    """Removes what killed filters to `output` have left on this machine, and the tags that they gave to tables."""
    for folder in sorted(output.parent.glob(f"{glob.escape(output.name)}.partial-*")):
        found = _life(folder.name.removeprefix(f"{output.name}.partial-"))
        if found is Life.DEAD:
            _remove(folder)
        elif found is Life.ALIVE:
            log.warning("%s: another filter is writing this folder; not removed", folder)
        else:
            log.warning(
                "%s: a filter on another machine, in another container or before the last boot wrote this folder, and "
                "may still be running there; remove the folder if no filter is running",
                folder,
            )


def forget_state(folder: Path) -> None:
    """Removes the tag that the filter of this folder gave to its version of the table, unless other filters use it.

    Raises:
        SiglaneError: the table cannot be read or written.
    """
    try:
        manifest = Manifest.read(folder / MANIFEST)
    except UsageError:
        return  # the filter writes the complete manifest before it sets the tag, so there is no tag yet
    if manifest.tag is not None and manifest.tag_is_new:
        uri = replace(table.parse(manifest.table), state=None)
        named = table.open_if_exists(uri)
        if named is not None:
            named.untag(manifest.tag, manifest.table_version)


def _remove(folder: Path) -> None:
    try:
        forget_state(folder)
        shutil.rmtree(folder)
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
