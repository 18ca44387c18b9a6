"""How the page looks, light and dark, from a telephone's width on."""

STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --ink: #1b2230; --soft: #5a6475; --rule: #e0e4ea;
  --pairs: #2f6fde; --shuffled: #d97a1f; --cut: #c01f4e; --wash: #eef2f8 }
@media (prefers-color-scheme: dark) { :root { --back: #12151b; --card: #1b2029; --ink: #e6e9ef; --soft: #9aa5b6;
  --rule: #2d3441; --pairs: #6ea0ff; --shuffled: #f0a04b; --cut: #ff6d93; --wash: #252c38 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
header, main, footer { max-width: 1180px; margin: 0 auto; padding: 0 20px }
header { padding-top: 36px }
h1, h2, h3, p, dl, figure, table { margin: 0 }
h1 { font-size: 1.8rem; line-height: 1.2; overflow-wrap: anywhere }
h2 { font-size: 1.25rem; margin: 44px 0 6px }
h3 { font-size: 1rem; margin: 26px 0 2px }
p { max-width: 46rem; margin: 6px 0; overflow-wrap: anywhere }
.soft, footer, small { color: var(--soft) }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere }
a { color: var(--pairs) }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; font-size: .95rem }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 22px 0 0 }
.figures > div, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px;
  min-width: 0 }
.figures dt { color: var(--soft); font-size: .85rem }
.figures dd { margin: 2px 0 0; font-size: 1.5rem; line-height: 1.2; font-weight: 600; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums }
.figures small { display: block; font-size: .85rem; font-weight: 400; margin-top: 4px }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 14px;
  margin-top: 14px; align-items: start }
.columns.wide { grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)) }
.columns + p { margin-top: 14px }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 5px 18px }
.facts dt { color: var(--soft) }
.facts dd { margin: 0; overflow-wrap: anywhere }
.scroll { overflow-x: auto; margin-top: 10px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .95rem }
th { color: var(--soft); font-weight: 500; font-size: .85rem }
th, td { text-align: right; padding: 6px 0 6px 16px; border-bottom: 1px solid var(--rule); vertical-align: top }
th:first-child, td:first-child { padding-left: 0 }
.left { text-align: left; overflow-wrap: anywhere }
tr:last-child td { border-bottom: 0 }
figure h3 { margin: 0; overflow-wrap: anywhere }
svg { display: block; width: 100%; height: auto; margin: 6px 0; overflow: visible }
svg text { fill: var(--soft); font: 13px system-ui, sans-serif }
.axis { stroke: var(--soft) }
.grid { stroke: var(--rule) }
.area { stroke-width: 1.5; stroke-linejoin: round }
.area.pairs { fill: var(--pairs); fill-opacity: .28; stroke: var(--pairs) }
.area.shuffled { fill: var(--shuffled); fill-opacity: .16; stroke: var(--shuffled) }
.line { fill: none; stroke-width: 2.2; stroke: var(--pairs); stroke-linejoin: round }
.line.random { stroke: var(--shuffled); stroke-width: 1.6; stroke-dasharray: 5 4 }
.cut { stroke: var(--cut); stroke-width: 1.5; stroke-dasharray: 4 3 }
svg .cut-word { fill: var(--cut); font-weight: 600 }
.dot { fill: var(--cut) }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: .85rem; color: var(--soft) }
.legend span::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 3px;
  margin-right: 6px; background: var(--pairs) }
.legend .shuffled::before { background: var(--shuffled) }
.legend .cut::before { background: var(--cut) }
.note { border-left: 4px solid var(--shuffled); background: var(--card); border-radius: 0 8px 8px 0; padding: 10px 16px;
  margin: 14px 0; max-width: 48rem }
.pairs-grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 165px), 1fr)); gap: 12px;
  margin-top: 10px; padding: 0; list-style: none }
.pair { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; overflow: hidden; min-width: 0;
  display: flex; flex-direction: column; font-size: .88rem; line-height: 1.4 }
.pair > .picture { aspect-ratio: 4 / 3; background: var(--wash); display: flex; align-items: center;
  justify-content: center; color: var(--soft); overflow: hidden }
.picture img { width: 100%; height: 100%; object-fit: contain }
.picture span { padding: 10px; font-size: .8rem; overflow-wrap: anywhere; max-height: 100%; overflow: hidden }
.pair .words { padding: 8px 12px 10px; min-width: 0 }
.caption { overflow: hidden; overflow-wrap: anywhere; max-width: none; margin: 0 0 6px }
.score { display: block; font-weight: 600; overflow-wrap: anywhere; font-variant-numeric: tabular-nums }
.uid { font: .72rem/1.35 ui-monospace, monospace; color: var(--soft); overflow-wrap: anywhere; display: block }
footer { padding: 40px 20px 48px; font-size: .9rem }
@media (max-width: 480px) { header, main, footer { padding-left: 14px; padding-right: 14px }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)) } .figures dd { font-size: 1.25rem }
  .pairs-grid { grid-template-columns: repeat(2, minmax(0, 1fr)) } .facts { grid-template-columns: minmax(0, 1fr) }
  .facts dd { margin-bottom: 6px } .wide svg text { font-size: 17px } }
@media print { body { background: none } .pair, .card, .figures > div { break-inside: avoid } }
"""
