"""Vectors made elsewhere into a table: listed, read in batches, checked, and committed exactly once."""

from pipeline.importing.options import ImportOptions
from pipeline.importing.run import Imported, import_vectors

__all__ = ["ImportOptions", "Imported", "import_vectors"]
