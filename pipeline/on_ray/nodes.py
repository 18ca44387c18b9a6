"""What a run needs on every node: packages, and local paths. Each node is asked before the run."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import pipeline
from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray import failures, spilling

PACKAGES = (
    *("pipeline", "siglip_core", "torch", "numpy", "PIL", "simplejpeg", "safetensors", "sentencepiece", "tokenizers"),
    *("ray", "lance", "pyarrow", "fsspec", "pydantic"),
)
"""what workers import, by the names of the imports"""
ANSWERS_WITHIN_SECONDS = 60.0

BYTES_PUT = 1 << 20
ROOM_WITHIN_SECONDS = 10.0
"""An object of that size is put into the store of each node, for no longer than this."""

log = logging.getLogger(__name__)


def require_ready(paths: Mapping[str, Path], written: Path | None) -> None:
    """Asks every node that works for its packages, and for its view of local paths.

    Args:
        paths: files and folders that must be there, by what they are.
        written: a folder in which the nodes must see what this process writes; a part of it may not exist yet.

    Raises:
        UsageError: a node does not see a path.
        SiglaneError: a node lacks a package, or has another version of this one, or has no room for objects.
        LostError: a node was lost.
    """
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if _works(node)}
    with _probe(written) as probe, failures.told():
        looked_for = [str(path) for path in paths.values()] + ([probe] if probe else [])
        ask = ray.remote(num_cpus=0, max_retries=failures.MAX_TRIES_AFTER_DEATH)(_looking())
        on = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes}
        told = {node: ask.options(scheduling_strategy=on[node]).remote(PACKAGES, looked_for) for node in nodes}
        answered, late = ray.wait(list(told.values()), num_returns=len(told), timeout=ANSWERS_WITHIN_SECONDS)
        if late:
            log.warning("%d of %d nodes do not say whether they have what the run needs", len(late), len(nodes))
        for node, answer in told.items():
            if answer in answered:
                _judge(nodes[node], ray.get(answer), {str(path): what for what, path in paths.items()}, written)


def _judge(node: str, found: Mapping[str, Any], paths: Mapping[str, str], written: Path | None) -> None:
    if found["room"] in ("ObjectStoreFullError", "OutOfDiskError") or (
        found["room"] == "none yet" and spilling.is_disk_full.is_set()
    ):
        raise failures.no_room(f"the node {node}")
    if found["lacks"]:
        raise SiglaneError(
            f"node {node}: it has no package {', '.join(found['lacks'])}; install the same packages on every node, or "
            "use `siglane submit`, which brings Siglane itself"
        )
    if found["version"] != pipeline.__version__:
        raise SiglaneError(
            f"node {node}: it has Siglane {found['version']}, and this process {pipeline.__version__}; install the "
            "same on every node, or use `siglane submit`, which brings it"
        )
    for path in found["does not see"]:
        raise UsageError(
            f"{paths.get(path, f'table {written}')}: the node {node} does not see it, though this one does; put it on "
            "a file system that every node mounts at the same place, or into a store (s3://…)"
        )


def _works(node: Mapping[str, Any]) -> bool:
    return node["Alive"] and bool(node["Resources"].get("CPU") or node["Resources"].get("GPU"))


@contextmanager
def _probe(folder: Path | None) -> Iterator[str | None]:
    """The path of a file in the folder, or in the nearest one above it, while the block runs."""
    if folder is None:
        yield None
        return
    while not folder.is_dir():
        folder = folder.parent
    with tempfile.NamedTemporaryFile(prefix=".siglane-probe-", dir=folder) as file:
        yield file.name


def _looking() -> Callable[[list[str], list[str]], dict[str, Any]]:
    """The function that nodes run. It is local, so that Ray sends its code: a node may lack this package."""
    bytes_put, seconds = BYTES_PUT, ROOM_WITHIN_SECONDS

    def look(packages: list[str], paths: list[str]) -> dict[str, Any]:
        from importlib import import_module
        from importlib.util import find_spec
        from pathlib import Path
        from threading import Thread

        import ray

        def is_there(package: str) -> bool:
            try:
                return find_spec(package) is not None
            except ImportError:
                return False

        def put(said: list[str]) -> None:
            try:
                ray.put(bytes(bytes_put))
                said.append("there")
            except ray.exceptions.RayError as error:
                said.append(type(error).__name__)

        said: list[str] = []
        putting = Thread(target=put, args=(said,), daemon=True)
        putting.start()
        putting.join(seconds)
        room = said[0] if said else "none yet"
        lacks = [package for package in packages if not is_there(package)]
        version = None if lacks else import_module("pipeline").__version__
        unseen = [path for path in paths if not Path(path).exists()]
        return {"room": room, "lacks": lacks, "version": version, "does not see": unseen}

    return look
