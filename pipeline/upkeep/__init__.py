"""Upkeep of a finished table: its status and active runs, its rejects, and the removal of pairs."""
