"""The id of a submitted job, as its own process finds it. Not part of `cluster`, so that it does not import ray."""

from __future__ import annotations

import json
import os


def submission_id() -> str | None:
    """The submission id that `ray job` shows, or None if this process is not that of a submitted job."""
    config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))  # Ray sets it for submitted jobs
    found = config.get("metadata", {}).get("job_submission_id")
    return None if found is None else str(found)
