"""The folder that a filter writes until it is whole: `OUTPUT.partial-…`, named after the process that writes it.

So what a killed filter has left is told from what another one is still writing. A live process of this machine is known
by its number and its start; of one elsewhere nothing is known.
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
    """A new folder beside `output`, for this process to write."""
    process = Process.this()
    word = f"{_digest(process.place)}-{process.pid}-{process.start}-{uuid4().hex[:8]}"
    folder = output.with_name(f"{output.name}.partial-{word}")
    folder.mkdir(parents=True)
    return folder


def remove_dead(output: Path) -> None:
    """Removes what killed filters to `output` have left here, and the names that they gave to states of tables."""
    for folder in sorted(output.parent.glob(f"{glob.escape(output.name)}.partial-*")):
        found = _life(folder.name.removeprefix(f"{output.name}.partial-"))
        if found is Life.DEAD:
            _remove(folder)
        elif found is Life.ALIVE:
            log.warning("%s: another filter is writing it; left as it is", folder)
        else:
            log.warning(
                "%s: left by a filter on another machine, in another container or before the last boot, or still being "
                "written there, which cannot be told from here; remove it if no filter is at work",
                folder,
            )


def forget_state(folder: Path) -> None:
    """Takes the name away that the filter of this folder has given to the state of its table, unless others use it.

    Raises:
        SiglaneError: the table cannot be read or written to.
    """
    try:
        manifest = Manifest.read(folder / MANIFEST)
    except UsageError:
        return  # the filter had not come to it: the manifest is whole before the state is named
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
        log.warning("%s: left by a filter that was killed, and cannot be removed whole: %s", folder, error)
    else:
        log.warning("%s: left by a filter that was killed; removed", folder)


def _life(word: str) -> Life:
    found = re.fullmatch(r"([0-9a-f]{16})-(\d+)-(\d*)-[0-9a-f]{8}", word)
    if found is None or found[1] != _digest(processes.place()):
        return Life.UNKNOWN
    return Process(processes.place(), int(found[2]), found[3]).life


def _digest(place: str) -> str:
    return blake2b(place.encode(), digest_size=8).hexdigest()
