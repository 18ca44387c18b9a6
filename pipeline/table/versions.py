"""Whether the versions are there that Lance compares a commit with.

Lance checks a commit against each commit since the version that it was made for. It leaves out those whose versions
another tool's cleanup has removed. So a commit could undo what they did, or add their rows again.
"""

from __future__ import annotations

from pipeline.table.presence import missing
from pipeline.table.uri import TableUri

# Lance names manifests so that the newest version sorts first; before its version 0.17, by the plain number.
_LAST_VERSION = (1 << 64) - 1


class RemovedVersionError(OSError):
    """A version is missing that a commit has to be compared with. The commit has to be made anew."""


def manifests(version: int) -> tuple[str, str]:
    """The two names that the manifest of a version can have, below the table's folder."""
    return f"_versions/{_LAST_VERSION - version:020}.manifest", f"_versions/{version}.manifest"


def require_versions(uri: TableUri, since: int, newest: int) -> None:
    """Checks that all versions from `since` up to `newest` are there. Costs a request for each but the newest.

    Raises:
        RemovedVersionError: a cleanup has removed one of them.
        StorageError: the store still failed after retries.
    """
    names = {manifests(version)[0]: version for version in range(since, newest)}
    removed = [names[name] for name in missing(uri, list(names))]
    if lost := missing(uri, [manifests(version)[1] for version in removed]):
        raise RemovedVersionError(f"table {uri}: a cleanup has removed {lost[0]}")
