"""Where a report goes: the terminal, JSON, or files, each replaced as a whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

from pgbooking.errors import EXIT_FOUND, EXIT_USAGE, Problem
from pgbooking.output import print_json, write_output
from pgbooking.report import Demand, Fate, PersonWeek, Report, Section, Starts, Step

STDOUT = "-"

ROWS: dict[Section, type[Any]] = {
    Section.UTILISATION: PersonWeek,
    Section.FUNNEL: Step,
    Section.HEATMAP: Starts,
    Section.PEAKS: Demand,
    Section.CANCELLATIONS: Fate,
}


@dataclass(frozen=True)
class Outputs:
    """The files that are asked for: a page, and pictures and figures by section."""

    html: str | None
    pngs: dict[Section, str]
    csvs: dict[Section, str]

    def __bool__(self) -> bool:
        return bool(self.html or self.pngs or self.csvs)


def outputs(
    sections: Sequence[Section],
    *,
    html: str | None = None,
    png: str | None = None,
    csv: str | None = None,
    as_json: bool = False,
) -> Outputs:
    """What the options name, after a look at whether it can be, and whether libraries are there.

    Raises Problem (exit code 2) where it cannot.
    """
    if [html, png, csv].count(STDOUT) + as_json > 1:
        raise Problem("Only one of them can go to stdout (- or --json).", None, EXIT_USAGE)
    if html and html != STDOUT and Path(html).is_dir():
        raise Problem(
            f"--html {html} is a folder, where the name of a file was expected.", None, EXIT_USAGE
        )
    asked = Outputs(
        html,
        _files("--png", png, sections) if png else {},
        _files("--csv", csv, sections) if csv else {},
    )
    if asked.html or asked.pngs:
        from pgbooking.report_plots import need_matplotlib

        need_matplotlib()
    if not asked and not as_json:
        from pgbooking.report_terminal import need_plotext

        need_plotext()
    return asked


def _files(option: str, value: str, sections: Sequence[Section]) -> dict[Section, str]:
    """A file for each section in the folder, or the file that is named for the only one."""
    suffix = f".{option.removeprefix('--')}"
    path = Path(value)
    is_named = value == STDOUT or path.suffix.lower() == suffix
    if path.is_dir() or not (is_named or path.exists()):
        return {each: str(path / f"{each}{suffix}") for each in sections}
    if path.is_file() and not is_named:
        raise Problem(
            f"{option} {value} is a file, where a folder or a name that ends with {suffix} was "
            "expected.",
            None,
            EXIT_USAGE,
        )
    if len(sections) != 1:
        raise Problem(
            f"{option} {value} is one file, where a folder for {len(sections)} sections was "
            "expected.",
            "Name a folder, or one section.",
            EXIT_USAGE,
        )
    return {sections[0]: value}


def write(report: Report, asked: Outputs, *, as_json: bool = False) -> None:
    """Write what is asked for, or print it. All is made before the first file is written."""
    made = [*_made(report, asked)]
    for option, file, content in made:
        try:
            if file != STDOUT and option != "--html":
                Path(file).parent.mkdir(exist_ok=True)
            write_output(file, content)
        except OSError as error:
            raise Problem(
                f"{option} {file} cannot be written: {error.strerror or error}.", None, EXIT_FOUND
            ) from None
    if as_json:
        print_json(report)
    elif not asked:
        from pgbooking.report_terminal import print_report

        print_report(report)
    elif STDOUT not in {file for _, file, _ in made}:
        print(report.about)
        for _, file, _ in made:
            print(f"wrote {file}")


def _made(report: Report, asked: Outputs) -> Iterator[tuple[str, str, bytes]]:
    """Option, file and content."""
    from pgbooking.report_plots import png

    @cache
    def picture(section: Section) -> bytes:
        return png(report, section)

    for section, file in asked.pngs.items():
        yield "--png", file, picture(section)
    for section, file in asked.csvs.items():
        yield "--csv", file, as_csv(report, section)
    # Last, as it may go into a folder that the others make.
    if asked.html:
        from pgbooking.report_page import page

        yield "--html", asked.html, page(report, picture)


def as_csv(report: Report, section: Section) -> bytes:
    """A section's rows. Each also says whose they are, of which days, and from when (UTC)."""
    figures = report.sections[section]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    about = {
        "tenant": report.tenant.name,
        "time_zone": report.time_zone,
        "from": report.first_date,
        "to": report.last_date,
        "made_at": report.made_at.astimezone(UTC).isoformat(),
    }
    writer.writerow([*(each.name for each in fields(ROWS[section])), *about])
    for row in () if figures.is_empty else figures.rows:
        writer.writerow([_cell(value) for value in (*astuple(row), *about.values())])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """Spreadsheets take a name that begins like a formula for one."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return value
