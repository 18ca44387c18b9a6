"""What a user says about the cluster; apart from `cluster`, so that reading options does not import ray."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RayOptions(BaseModel):
    """What a user says about the cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None, description="Ray cluster to run on; default: RAY_ADDRESS, else one on this machine for this run"
    )
    num_gpus: int | None = Field(
        None, ge=0, description="encoders, one a GPU; 0 encodes on CPUs; default: every GPU of the cluster"
    )
