"""A table as one HTML page that needs nothing else: what is in it, where to cut it, and pairs to look at."""

from pipeline.report.contents import Contents, gather
from pipeline.report.page import to_html
from pipeline.report.sections.cut import estimated_here

__all__ = ["Contents", "estimated_here", "gather", "to_html"]
