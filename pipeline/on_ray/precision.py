"""The precision that a cluster's encoders compute fast, found out on their nodes."""

from __future__ import annotations

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.on_ray import cluster, failures
from pipeline.on_ray.cluster import Encoders
from pipeline.on_ray.options import RayOptions
from siglip_core.precision import Precision, fast_precision

# A share of a GPU makes it visible to the task, and leaves the rest to whatever runs there.
SHARE_OF_GPU = 0.01


def fast_on_cluster(options: RayOptions) -> Precision:
    """bfloat16 if every node that may get an encoder has units for it, else float32. Connects for as long as it takes.

    Raises: see `cluster.connect_encoders`.
    """
    with cluster.connect_encoders(options) as encoders, failures.told():
        return "bfloat16" if set(ray.get(_asked(encoders))) == {"bfloat16"} else "float32"


def _asked(encoders: Encoders) -> list[ray.ObjectRef]:
    """One task for each node that may get an encoder."""
    needed = "GPU" if encoders.num_gpus else "CPU"
    ask = ray.remote(num_cpus=0, num_gpus=SHARE_OF_GPU if encoders.num_gpus else 0)(fast_precision)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get(needed)]
    return [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(encoders.device)
        for node in nodes
    ]
