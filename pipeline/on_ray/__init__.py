"""The only package that imports ray: it translates the flow's list of stages to Ray Data and runs it on a cluster."""

import os
from pathlib import Path

# Ray's servers listen on every interface, so only a token protects them. Where there is one, it is sent to every
# cluster: a cluster that wants none ignores it. Where there is none, Ray makes one for a cluster that it starts here,
# and sends none to others. The mode is set before Ray is imported, because Ray reads it at import.
if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")) or (
    Path("~/.ray/auth_token").expanduser().exists()
):
    os.environ.setdefault("RAY_AUTH_MODE", "token")
