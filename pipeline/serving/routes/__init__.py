"""The paths of the service. Each module here makes a router for one part of it."""
