"""The options that describe the cluster. Not part of `cluster`, so that reading options does not import ray."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RayOptions(BaseModel):
    """The options that describe the cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None, description="Ray cluster to run on; default: RAY_ADDRESS, else a new one on this machine for this run"
    )
    num_gpus: int | None = Field(
        None, ge=0, description="GPUs to use, with one encoder on each; 0: use CPUs; default: all GPUs of the cluster"
    )
