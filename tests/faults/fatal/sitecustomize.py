"""Python runs this in each process that has its folder on the path: kills the driver at a chosen call of Lance.

`KILL_AT=commit:before:2` is SIGKILL right before its second commit; `samples`, `shard` and `move` are of what a filter
writes. Small fragments are merged early, and columns filled and samples written a few at a time, so that a short run
has merges, commits and samples to be killed in.
"""

import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

_calls: Counter[str] = Counter()


def _fatal(step: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **more: Any) -> Any:
        _calls[step] += 1
        _die_at(f"{step}:before:{_calls[step]}")
        result = call(*arguments, **more)
        _die_at(f"{step}:after:{_calls[step]}")
        return result

    return wrapped


def _die_at(place: str) -> None:
    if os.environ["KILL_AT"] == place:
        os.kill(os.getpid(), signal.SIGKILL)


class _Merges:
    """In the place of Lance's `Compaction`, whose native class takes no new methods."""

    def __init__(self, whole: Any) -> None:
        self.plan = whole.plan
        self.commit = _fatal("merge", whole.commit)


def _install() -> None:
    from pathlib import Path

    import lance.file
    import lance.fragment
    import lance.optimize
    import pyarrow.parquet
    from lance.dataset import Tags

    lance.fragment.write_fragments = _fatal("stage", lance.fragment.write_fragments)
    lance.LanceDataset.commit = staticmethod(_fatal("commit", lance.LanceDataset.commit))
    lance.LanceDataset.update_config = _fatal("lease", lance.LanceDataset.update_config)
    lance.LanceDataset.delete_config_keys = _fatal("release", lance.LanceDataset.delete_config_keys)
    lance.optimize.Compaction = _Merges(lance.optimize.Compaction)

    lance.file.LanceFileWriter.close = _fatal("columns", lance.file.LanceFileWriter.close)
    Tags.create = _fatal("tag", Tags.create)
    pyarrow.parquet.ParquetWriter.close = _fatal("shard", pyarrow.parquet.ParquetWriter.close)
    Path.rename = _fatal("move", Path.rename)

    from pipeline import originals
    from pipeline.filtering.shards import Shards
    from pipeline.table import columns, compact

    Shards.add = _fatal("samples", Shards.add)
    originals._ROWS_AT_ONCE = 20
    compact.ROWS_PER_FRAGMENT = 100
    columns.ROWS_PER_COMMIT = 100


if "KILL_AT" in os.environ and any(word.startswith("jobs.") for word in sys.orig_argv):
    try:
        _install()
    except BaseException:  # noqa: BLE001 - told, and fatal
        traceback.print_exc()
        os._exit(os.EX_SOFTWARE)  # Python itself would only tell, and go on with the hooks that there are
