"""Siglane's pipeline: sources -> stages -> a Lance table. Only `pipeline.on_ray` uses Ray."""

__version__ = "0.1.0"
