"""The only package that imports ray: it translates the flow's list of stages to Ray Data and runs it on a cluster."""

import os

# Ray's servers always listen on every interface, so only a token (which Ray stores in ~/.ray) protects them. Tokens are
# Ray's default, but they are set explicitly here, before Ray is imported, because Ray reads the setting at import.
os.environ.setdefault("RAY_AUTH_MODE", "token")
