"""The only package that imports ray: it lowers the flow's list of stages to Ray Data and runs it on a cluster."""

import os

# Ray's servers listen on every interface whatever one asks for, so a token (which Ray keeps in ~/.ray) is what keeps
# others out. It is Ray's own default; Ray reads it once, when it is imported, so it is made plain here.
os.environ.setdefault("RAY_AUTH_MODE", "token")
