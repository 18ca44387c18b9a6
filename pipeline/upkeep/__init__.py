"""Upkeep of a finished table: its status and active runs, and the removal of pairs."""
