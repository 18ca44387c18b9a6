"""The precision that a cluster's encoders compute fast, found out on their nodes."""

from __future__ import annotations

import logging

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.on_ray import cluster, failures, nodes
from pipeline.on_ray.cluster import Encoders
from pipeline.on_ray.options import RayOptions
from pipeline.on_ray.progress import SECONDS_BETWEEN_LINES
from siglip_core.precision import Precision, fast_precision

# A share of a GPU makes it visible to the task, and leaves the rest to whatever runs there.
SHARE = 0.01

log = logging.getLogger(__name__)


def fast_on_cluster(options: RayOptions) -> Precision:
    """bfloat16 if every node that may get an encoder has units for it, else float32. Connects for as long as it takes.

    Raises: see `cluster.connect_encoders`.
    """
    with cluster.connect_encoders(options) as encoders, failures.told():
        nodes.require_ready({}, None)
        answers, waiting = _asked(encoders), True
        while waiting:
            _, waiting = ray.wait(answers, num_returns=len(answers), timeout=SECONDS_BETWEEN_LINES)
            if waiting:
                log.info("waiting for a node that may get an encoder, to ask it for its precision")
        return "bfloat16" if set(ray.get(answers)) == {"bfloat16"} else "float32"


def _asked(encoders: Encoders) -> list[ray.ObjectRef]:
    """One task for each node that may get an encoder; if there is none yet, one that waits for it."""
    needed = "GPU" if encoders.num_gpus else "CPU"
    ask = ray.remote(num_cpus=0, num_gpus=SHARE if encoders.num_gpus else 0)(fast_precision)
    found = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get(needed)]
    if not found:
        first = ask.options(num_cpus=0 if encoders.num_gpus else SHARE)
        return [first.remote(encoders.device)]
    return [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(encoders.device)
        for node in found
    ]
