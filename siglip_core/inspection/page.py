"""Writes an inspection as one self-contained HTML page, with its images inside and without scripts."""

from base64 import b64encode
from importlib import resources
from io import BytesIO

from markupsafe import Markup

from siglip_core.inspection.contents import Block, Figures, Row, Table, Text, contents
from siglip_core.inspection.measure import Inspection
from siglip_core.inspection.panels import Panel, Scale

# Markup escapes all values. The policy stops the browser from loading or running anything that is missed.
_PAGE = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
""")
_TEXT = {"title": Markup("<h1>{}</h1>"), "heading": Markup("<h2>{}</h2>"), "note": Markup("<p>{}</p>")}
_FIGURE = Markup(
    '<figure style="max-width: {width}px"><b>{title}</b><img alt="{title}" src="data:image/png;base64,{png}">'
    "{scale}<small>{note}</small></figure>"
)
_SCALE = Markup('<div class="scale">{}<i style="background: linear-gradient(to right, {})"></i>{}</div>')
_ROW = Markup('<tr><td dir="auto">{}<div class="bar" style="width: {:.2%}"></div></td>{}</tr>')


def to_html(inspection: Inspection, image: str) -> str:
    """The page's HTML. `image` is the name under which the page shows the image."""
    title, *_ = blocks = contents(inspection, image)
    assert isinstance(title, Text)
    style = Markup(resources.files(__package__).joinpath("page.css").read_text("utf-8"))
    return str(_PAGE.format(title=title.text, style=style, body=Markup("\n").join(map(_block, blocks))))


def _block(block: Block) -> Markup:
    match block:
        case Text():
            return _TEXT[block.kind].format(block.text)
        case Figures():
            figures = Markup("\n").join(_figure(panel, block.width) for panel in block.panels)
            return Markup("<section>\n{}\n</section>").format(figures)
        case Table():
            head = Markup("").join(Markup("<th>{}</th>").format(name) for name in block.head)
            rows = Markup("\n").join(map(_row, block.rows))
            return Markup("<table>\n<tr>{}</tr>\n{}\n</table>").format(head, rows)


def _figure(panel: Panel, width: int) -> Markup:
    file = BytesIO()
    panel.image.save(file, "PNG")
    png = b64encode(file.getvalue()).decode()
    return _FIGURE.format(width=width, title=panel.title, png=png, scale=_scale(panel.scale), note=panel.note)


def _scale(scale: Scale | None) -> Markup:
    if scale is None:
        return Markup("")
    low, high = scale.ends
    return _SCALE.format(low, ", ".join(f"#{colour}" for colour in scale.colours), high)


def _row(row: Row) -> Markup:
    caption, *figures = row.cells
    cells = Markup("").join(Markup("<td>{}</td>").format(figure) for figure in figures)
    return _ROW.format(caption, row.bar, cells)
