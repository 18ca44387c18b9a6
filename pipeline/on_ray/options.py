"""The options that describe the cluster. Not part of `cluster`, so that reading options does not import ray."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RayOptions(BaseModel):
    """The options that describe the cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None, description="Ray cluster to run on; default: RAY_ADDRESS, else a new one on this machine for this run"
    )
    num_gpus: int | None = Field(
        None, ge=0, description="GPUs to use, with one encoder on each; 0: use CPUs; default: all GPUs of the cluster"
    )
    encoders_per_gpu: int = Field(
        1,
        ge=1,
        description="encoders that share a GPU; more than one where a small model leaves a GPU waiting for its process",
    )
    wait_for_nodes: bool = Field(
        False,
        description="start although the cluster has fewer than --num-gpus GPUs, or no CPU, and wait for nodes that an "
        "autoscaler adds",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> RayOptions:
        if self.wait_for_nodes and self.num_gpus is None:
            raise ValueError("--wait-for-nodes: give --num-gpus too, the GPUs to wait for (0: encode on CPUs)")
        if self.encoders_per_gpu > 1 and self.num_gpus == 0:
            raise ValueError("--encoders-per-gpu: with --num-gpus 0 the run uses no GPU; leave one of them out")
        return self
