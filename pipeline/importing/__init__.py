"""Imports vectors made elsewhere into a table: reads and checks them in batches, and commits them exactly once."""

from pipeline.importing.options import ImportOptions
from pipeline.importing.run import Imported, import_vectors

__all__ = ["ImportOptions", "Imported", "import_vectors"]
