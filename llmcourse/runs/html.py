"""The look of the report: a style sheet and the few pieces of HTML that the page is made of.

One file, no script, nothing fetched: it opens from a disk, prints, and can be sent by mail. Light
or dark as the reader's system is; on a phone, one column. Not here: what the page says
(`report.py`) and its charts (`charts.py`).
"""

import html
from collections.abc import Iterable

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --wash: #f4f6f8; --ink: #1f2933; --soft: #52606d; --line: #d5dce2;
  --accent: #1668a8; --muted: #8a96a3; --warn: #b3540a; --warn-wash: #fdf3ea; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #12161b; --wash: #1b2129; --ink: #e4e9ee; --soft: #a3afbb; --line: #333d47;
  --accent: #6cb4ec; --muted: #77838f; --warn: #f2a765; --warn-wash: #2b2119; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 760px; margin: 0 auto; padding: 40px 20px 64px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 44px 0 4px; }
h3 { font-size: .95rem; margin: 0 0 8px; }
p { margin: 0 0 12px; }
.soft, figcaption, .kicker { color: var(--soft); }
.kicker { font-size: .8rem; letter-spacing: .07em; text-transform: uppercase; margin: 0 0 4px; }
.warn { border-left: 4px solid var(--warn); background: var(--warn-wash); padding: 10px 14px;
  margin: 18px 0 0; }
.warn code { display: block; margin-top: 4px; overflow-wrap: anywhere; }
.result { display: flex; flex-wrap: wrap; gap: 20px 48px; align-items: center;
  margin: 28px 0 20px; padding: 24px 0; border: solid var(--line); border-width: 1px 0; }
.result > div { flex: 1 1 300px; }
.result svg { flex: none; }
.big { font-size: 3.4rem; font-weight: 650; line-height: 1; letter-spacing: -.02em;
  color: var(--accent); margin: 0; font-variant-numeric: tabular-nums; }
.unit { font-weight: 600; margin: 4px 0 8px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 16px;
  margin: 0; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
figure { margin: 14px 0 0; break-inside: avoid; }
figcaption { font-size: .85rem; margin-top: 6px; }
svg { display: block; max-width: 100%; height: auto; }
.narrow { display: none; }
.pair { display: flex; flex-wrap: wrap; gap: 24px 40px; margin-top: 44px; }
.pair figure { margin: 0; flex: 0 1 340px; }
svg text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg text.accent { fill: var(--accent); font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .level { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 6 4; }
svg text.level { stroke: var(--paper); stroke-width: 5; stroke-dasharray: none;
  paint-order: stroke; }
svg .line { fill: none; stroke-linejoin: round; }
svg .line.accent { stroke: var(--accent); stroke-width: 2.4; }
svg .line.muted { stroke: var(--muted); stroke-width: 1.4; }
svg circle.accent, svg rect.accent { fill: var(--accent); }
svg circle.muted, svg rect.muted { fill: var(--muted); }
svg .gap { fill: none; stroke: var(--warn); stroke-width: 2; }
pre { margin: 10px 0 0; padding: 14px 16px; background: var(--wash); border-radius: 6px;
  font: .86rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.tables { columns: 2 300px; column-gap: 40px; margin-top: 12px; }
table { width: 100%; border-collapse: collapse; font-size: .86rem; break-inside: avoid;
  margin: 0 0 20px; }
caption { text-align: left; font-weight: 600; padding: 0 0 4px; }
th, td { text-align: left; vertical-align: top; padding: 4px 0; border-top: 1px solid var(--line);
  font-weight: 400; overflow-wrap: anywhere; }
th { color: var(--soft); padding-right: 12px; width: 52%; }
td { font-variant-numeric: tabular-nums; }
.grid th, .grid td { width: auto; padding-right: 12px; overflow-wrap: normal; }
footer { margin-top: 48px; font-size: .85rem; color: var(--soft); }
@media (max-width: 640px) {
  main { padding: 24px 16px 40px; }
  .wide { display: none; }
  .narrow { display: block; }
  .big { font-size: 2.9rem; }
  .result svg, .narrow svg, .pair figure { flex: 1 1 340px; width: 100%; }
  .pair svg { width: 100%; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --wash: #fff; --ink: #000; --soft: #444;
    --line: #bbb; --accent: #1668a8; --muted: #777; --warn: #b3540a; --warn-wash: #fff; }
  main { max-width: none; padding: 0; }
  pre { border: 1px solid var(--line); }
  h2 { break-after: avoid; }
}
"""

# Most control characters are no part of a valid page; their pictures (U+2400 and on) are.
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}


def escape(value: object) -> str:
    """Any value as text that stands on the page as it is, whatever characters are in it."""
    text = str(value).encode("utf-8", "replace").decode()
    return html.escape(text.replace("\r\n", "\n").translate(_CONTROLS))


def page(title: str, parts: Iterable[str]) -> str:
    """The whole document."""
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, content: str) -> str:
    """Content under a heading; nothing where there is no content."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>" if content else ""


def tiles(metrics: Iterable[tuple[str, str]]) -> str:
    """Metrics side by side, each under what it is called."""
    pairs = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in metrics
    )
    return f'<dl class="tiles">\n{pairs}</dl>' if pairs else ""


def table(caption: str, rows: Iterable[tuple[str, object]]) -> str:
    """Names beside their values; nothing where there are no rows."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>\n'
        for name, value in rows
    )
    head = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    return f"<table>\n{head}{body}</table>" if body else ""


def figure(title: str, pictures: str, caption: str = "") -> str:
    """Pictures under a title that states what they say."""
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>\n<h3>{escape(title)}</h3>\n{pictures}\n{note}</figure>"
