"""The page around a report: HTML that needs nothing but itself."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root { --ink: #1d1f24; --soft: #6b7078; --faint: #e4e6ea; --paper: #fdfdfc; --good: #00694c; --bad: #a63c00; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 "Charter", "Bitstream Charter", "Iowan Old Style", Georgia, serif; }
main { max-width: 1140px; margin: 0 auto; padding: 56px 32px 96px; }
h1 { font-size: 34px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 23px; margin: 64px 0 8px; padding-top: 20px; border-top: 1px solid var(--faint); }
h3 { font-size: 17px; margin: 36px 0 4px; }
p, li { max-width: 760px; }
p.lead { font-size: 18px; color: var(--soft); margin: 0 0 28px; }
p.note, figcaption, td, th, .facts, summary { font-family: system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
p.note, figcaption { color: var(--soft); font-size: 13.5px; line-height: 1.45; max-width: 860px; margin: 8px 0 0; }
figure { margin: 24px 0 8px; } figure svg { width: 100%; height: auto; display: block; }
figure svg text { font-family: system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif !important; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; line-height: 1.35; margin: 16px 0 4px;
  font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); padding: 6px 16px 6px 0;
  border-bottom: 1px solid var(--ink); vertical-align: bottom; }
td { padding: 4px 16px 4px 0; border-bottom: 1px solid var(--faint); white-space: nowrap; vertical-align: top; }
td.n, th.n { text-align: right; }
tr.group td { border-bottom: none; padding-top: 16px; font-weight: 600; }
.better { color: var(--good); font-weight: 600; } .worse { color: var(--bad); font-weight: 600; }
.none { color: var(--soft); } .warn { border-left: 4px solid var(--bad); padding-left: 14px; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 3px 22px; font-size: 13.5px; margin-top: 14px; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; overflow-wrap: anywhere; }
.families { list-style: none; padding: 0; margin: 14px 0 0; display: flex; flex-wrap: wrap; gap: 4px 22px;
  font-size: 13.5px; font-family: system-ui, "Segoe UI", Arial, sans-serif; }
.families i { display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 7px; }
summary { cursor: pointer; color: var(--soft); font-size: 14px; margin-top: 16px; }
@media print { main { padding: 0; } h2 { break-before: page; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole document."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def text(value: object) -> str:
    """Escaped."""
    return html.escape(str(value), quote=True)


def paragraph(content: str, kind: str = "") -> str:
    return f'<p class="{kind}">{content}</p>' if kind else f"<p>{content}</p>"


def figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def table(head: Sequence[str], rows: Iterable[Sequence[str] | str], words: int = 1) -> str:
    """Cells are HTML. The first `words` columns are text, the others numbers; a row that is a string spans them all."""
    kinds = ["" if i < words else ' class="n"' for i in range(len(head))]
    top = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(kinds, head, strict=True))
    body = "".join(_row(row, kinds) for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(row: Sequence[str] | str, kinds: Sequence[str]) -> str:
    if isinstance(row, str):
        return f'<tr class="group"><td colspan="{len(kinds)}">{row}</td></tr>'
    return "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values."""
    return '<dl class="facts">' + "".join(f"<dt>{text(n)}</dt><dd>{text(v)}</dd>" for n, v in pairs) + "</dl>"


def bullets(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def families(pairs: Iterable[tuple[str, str]]) -> str:
    """A legend: (colour, name)."""
    items = "".join(f'<li><i style="background:{color}"></i>{text(name)}</li>' for color, name in pairs)
    return f'<ul class="families">{items}</ul>'
