"""The app of `pipeline.serving` as a Ray Serve deployment: several replicas behind one address.

Each replica opens the table and loads the model, follows commits, and encodes what waits in it together.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray import serve

from pipeline import encoder, table
from pipeline.errors import SiglaneError, UsageError
from pipeline.serving.service import Served
from pipeline.sources import SourceOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

AT_ONCE = 256
"""requests that a replica answers at the same time: as many as one process would, so that they become batches"""
_DRAIN_SECONDS = 5.0


@contextmanager
def deployed(served: Served, replicas: int, host: str, port: int) -> Iterator[None]:
    """Serves on the connected cluster until the block ends; then the replicas answer what was asked.

    Raises:
        UsageError: the cluster has fewer CPUs than replicas.
        TableError: there is no such table.
        SiglaneError: the replicas do not start.
    """
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < replicas:
        raise UsageError(f"replicas {replicas}: the cluster has {cpus} CPUs, and each replica needs one; give fewer")
    everywhere = _absolute(served)
    table.open_table(table.parse(everywhere.table))
    name = f"siglane-{table.parse(served.table).name}"

    def app() -> FastAPI:
        from pipeline.serving.app import create_app

        return create_app(everywhere)

    deployment = serve.deployment(
        serve.ingress(app)(),
        name="siglane",
        num_replicas=replicas,
        max_ongoing_requests=AT_ONCE,
        graceful_shutdown_timeout_s=served.limits.max_seconds + _DRAIN_SECONDS,
        logging_config={"enable_access_log": False},
    )
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
    try:
        try:
            serve.run(deployment.bind(), name=name, route_prefix="/")
        except RuntimeError as error:
            raise SiglaneError(
                f"Ray Serve: the replicas do not start: {' '.join(str(error).split())[-300:]}; the logs of the cluster "
                "have the cause"
            ) from error
        yield
    finally:
        serve.delete(name)
        if not serve.status().applications:
            serve.shutdown()


def _absolute(served: Served) -> Served:
    """The same, for processes that were started in other folders."""
    source = served.source
    if source is not None:
        inputs = tuple(Path(path).resolve().as_posix() if _is_local(path) else path for path in source.input)
        source = SourceOptions.model_validate(source.model_dump() | {"input": inputs})
    return replace(
        served,
        table=str(table.parse(served.table)),
        model=None if served.model is None else encoder.absolute(served.model),
        source=source,
    )


def _is_local(path: str) -> bool:
    return "://" not in path and not os.path.isabs(path)  # noqa: PTH117 - a pattern is no Path
