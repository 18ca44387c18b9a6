"""A report of a table as one self-contained HTML page: its contents, where to cut it, and example pairs."""

from pipeline.report.contents import Contents, gather
from pipeline.report.page import to_html

__all__ = ["Contents", "gather", "to_html"]
