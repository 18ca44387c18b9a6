"""Siglane's pipeline: sources -> stages -> a Lance table, with Ray kept to `pipeline.on_ray`."""
