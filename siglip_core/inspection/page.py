"""An inspection as one HTML page that needs nothing else: its images are inside it, it has no script."""

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from io import BytesIO

from siglip_core.inspection import words
from siglip_core.inspection.measure import Inspection
from siglip_core.inspection.panels import HEAD, PANEL, Panel, Scale, heads, panels

# Captions and file names are escaped; the policy is there should a browser still find something to fetch or run.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = f"""
:root {{ color-scheme: light dark }}
body {{ max-width: {3 * PANEL + 80}px; margin: 2rem auto; padding: 0 1rem; font: 16px/1.45 system-ui, sans-serif }}
h1 {{ font-size: 1.5rem; margin: 0; overflow-wrap: anywhere }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 .6rem }}
p, small {{ color: GrayText; margin: .2rem 0 }}
section {{ display: flex; flex-wrap: wrap; gap: 1.6rem 20px; margin-top: 1.4rem }}
figure {{ margin: 0; max-width: {PANEL}px }}
.heads figure {{ max-width: {HEAD * 3 // 4}px }}
img {{ display: block; max-width: 100%; margin: .4rem 0 }}
.scale {{ display: flex; gap: .5rem; font-size: .85rem; font-variant-numeric: tabular-nums }}
.scale i {{ flex: 1 }}
table {{ border-collapse: collapse; width: 100%; margin-top: .5rem }}
th, td {{ text-align: right; padding: .4rem .6rem; border-bottom: 1px solid #8884; vertical-align: top }}
th:first-child, td:first-child {{ text-align: left; width: 60%; overflow-wrap: anywhere }}
td {{ font-variant-numeric: tabular-nums }}
.bar {{ height: 4px; background: #2a78d6; margin-top: .3rem }}
"""


def to_html(inspection: Inspection, image: str) -> str:
    """`image`: the name under which the page shows the image."""
    title = escape(words.title(inspection, image))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p>{escape(words.sizes(inspection))}</p>
<section>
{_figures(panels(inspection))}
</section>
<h2>{words.HEADS}</h2>
<section class="heads">
{_figures(heads(inspection))}
</section>
{_captions(inspection)}</body>
</html>
"""


def _figures(drawn: Iterable[Panel]) -> str:
    return "\n".join(
        f'<figure><b>{escape(panel.title)}</b><img alt="{escape(panel.title)}" src="{_data_uri(panel)}">'
        f"{_scale(panel.scale)}<small>{escape(panel.note)}</small></figure>"
        for panel in drawn
    )


def _data_uri(panel: Panel) -> str:
    png = BytesIO()
    panel.image.save(png, "PNG")
    return f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"


def _scale(scale: Scale | None) -> str:
    if scale is None:
        return ""
    colours = ", ".join(f"#{colour}" for colour in scale.colours)
    gradient = f'<i style="background: linear-gradient(to right, {colours})"></i>'
    return f'<div class="scale">{scale.low:.3g}{gradient}{scale.high:.3g}</div>'


def _captions(inspection: Inspection) -> str:
    if not inspection.captions:
        return ""
    head = "".join(f"<th>{name}</th>" for name in words.CAPTIONS)
    rows = []
    for score in inspection.captions:
        caption, *figures = map(escape, words.cells(score))
        bar = f'<div class="bar" style="width: {score.probability:.2%}"></div>'
        rows.append(f'<tr><td dir="auto">{caption}{bar}</td>{"".join(f"<td>{figure}</td>" for figure in figures)}</tr>')
    body = "\n".join(rows)
    return (
        f"<h2>Captions</h2>\n<table>\n<tr>{head}</tr>\n{body}\n</table>\n<p>{escape(words.formula(inspection))}</p>\n"
    )
