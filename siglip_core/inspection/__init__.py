"""Shows one image as a model sees it. `measure.py` computes the numbers, `panels.py` draws them, `contents.py` lists
what is shown, and `page.py` or `picture.py` writes it as HTML or as a PNG.
"""

from siglip_core.inspection.measure import Inspection, inspect
from siglip_core.inspection.page import to_html
from siglip_core.inspection.picture import to_png

__all__ = ["Inspection", "inspect", "to_html", "to_png"]
