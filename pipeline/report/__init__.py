"""A report of a table as one self-contained HTML page: its contents, where to cut it, and example pairs."""

from pipeline.report.contents import Contents, gather
from pipeline.report.page import to_html
from pipeline.report.sections.cut import estimated_here

__all__ = ["Contents", "estimated_here", "gather", "to_html"]
