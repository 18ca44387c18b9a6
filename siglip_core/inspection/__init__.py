"""One image as a model sees it: measured (`measure.py`), drawn (`panels.py`), and described block by block
(`contents.py`), which becomes HTML (`page.py`) or a PNG (`picture.py`).
"""

from siglip_core.inspection.measure import Inspection, inspect
from siglip_core.inspection.page import to_html
from siglip_core.inspection.picture import to_png

__all__ = ["Inspection", "inspect", "to_html", "to_png"]
