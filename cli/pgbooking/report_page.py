"""A report as one HTML file that needs nothing else: pictures are in it, and there is no script."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape

from pgbooking.report import Report, Section
from pgbooking.report_words import TITLES, Table, findings, notes, tables

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid #999; }
p { margin: .4rem 0; }
.about, .note { color: #555; }
.note { font-size: .85rem; }
.warning { font-weight: 600; }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #ddd;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; font-weight: normal; }
thead th, thead th:first-child { border-bottom: 1px solid #999; font-weight: 600; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; }
  h2, caption { break-after: avoid; } img, tr { break-inside: avoid; } }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{name}</h1>
<p class="about">{about}</p>
{warning}
{sections}
</body>
</html>
"""


def page(report: Report, picture: Callable[[Section], bytes]) -> bytes:
    """The whole file; `picture` is a section's, as PNG."""
    return PAGE.format(
        title=escape(f"Report: {report.about}"),
        style=STYLE,
        name=escape(report.tenant.name),
        about=escape(report.about),
        warning=_paragraph(report.warning, "warning") if report.warning else "",
        sections="\n".join(_section(report, each, picture) for each in report.sections),
    ).encode()


def _section(report: Report, section: Section, picture: Callable[[Section], bytes]) -> str:
    figures = report.sections[section]
    said = " ".join(findings(figures))
    parts = [f'<section id="{section}">', f"<h2>{escape(TITLES[section])}</h2>", _paragraph(said)]
    if not figures.is_empty:
        data = base64.b64encode(picture(section)).decode()
        parts += [
            f'<img alt="{escape(f"{TITLES[section]}. {said}")}"'
            f' src="data:image/png;base64,{data}">',
            *(_paragraph(note, "note") for note in notes(figures, report)),
            *(_table(each) for each in tables(figures) if each.rows),
        ]
    return "\n".join([*parts, "</section>"])


def _paragraph(text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escape(text)}</p>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in table.columns)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(each)}</td>" for each in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(table.title)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )
