"""What of an input is left to do: less what the table holds, and no more than was asked for."""

from pipeline.resume.first_rows import first_rows
from pipeline.resume.remaining import Again, Remaining, remaining

__all__ = ["Again", "Remaining", "first_rows", "remaining"]
