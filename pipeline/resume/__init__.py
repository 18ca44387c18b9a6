"""Finds the rows of an input that are left to do: without those in the table, and at most as many as asked for."""

from pipeline.resume.first_rows import first_rows
from pipeline.resume.remaining import Again, Remaining, remaining

__all__ = ["Again", "Remaining", "first_rows", "remaining"]
