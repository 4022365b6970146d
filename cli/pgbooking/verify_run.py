"""One run of `pgbooking verify`, as its options ask: the calculators, another system, or both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg

from pgbooking import compare, verify
from pgbooking.connection import connected
from pgbooking.csv_file import CsvFile, read_input
from pgbooking.import_mapping import Kind, Mapping, load_mapping
from pgbooking.import_query import LEGACY_URL, QueryRows
from pgbooking.output import print_json, progress_bar

STDIN = "-"


@dataclass(frozen=True)
class Legacy:
    """Where the other system's answer comes from, a query or a file, and what is compared."""

    query: str | None
    dsn: str | None
    csv: str | None
    map: Path | None
    from_date: date | None
    to_date: date | None

    def source(self, connection: psycopg.Connection, mapping: Mapping) -> CsvFile | QueryRows:
        """Its rows."""
        if self.query is not None:
            return QueryRows(self.query, self.dsn, LEGACY_URL, connection)
        return CsvFile(read_input(self.csv or STDIN), mapping.file)


@dataclass(frozen=True)
class Outcome:
    """What a run found; each part only if it was asked for."""

    report: verify.Report | None
    repaired: verify.Repaired | None
    comparison: compare.Comparison | None

    @property
    def is_clean(self) -> bool:
        """Nothing differs but what is accepted, and everything could be compared."""
        return not (self.report and self.report.differences) and (
            self.comparison is None or self.comparison.is_clean
        )

    @property
    def summary(self) -> str:
        """A line for a log."""
        said = []
        if self.report:
            said.append(f"{self.report.differences or 'no'} differences from the calculator")
        if self.repaired:
            said.append(f"{self.repaired.rows_written:,} rows repaired before")
        if self.comparison:
            said.append(compare.summary(self.comparison))
        return "; ".join(said)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        answer: dict[str, Any] = {}
        if self.report:
            answer |= {
                "differences": self.report.differences,
                **vars(self.report),
                "before_repair": self.repaired,
            }
        if self.comparison:
            answer["legacy"] = {
                **vars(self.comparison),
                "not_accepted": self.comparison.not_accepted,
                "causes": self.comparison.causes,
            }
        return answer

    def print(self, *, as_json: bool) -> None:
        """For people, or as JSON."""
        if as_json:
            print_json(self.as_json())
            return
        if self.repaired:
            verify.print_report(self.repaired.report)
            print(f"Repaired: {self.repaired.rows_written:,} rows written. Verified again:")
        if self.report:
            verify.print_report(self.report)
        if self.comparison:
            compare.print_report(self.comparison)


def run(
    database_url: str | None,
    tenant: str | None,
    staff: str | None,
    *,
    independent: bool,
    repair: bool,
    legacy: Legacy | None,
    now: datetime | None,
) -> Outcome:
    """Verify, repair what was asked to be, and compare with the other system.

    With `legacy` the calculators are only asked where `independent` or `repair` says so. Raises
    Problem.
    """
    report = repaired = comparison = None
    mapping = load_mapping(legacy.map if legacy else None, Kind.SLOTS)
    with connected(database_url, now=now) as connection, progress_bar() as bar:
        if legacy is None or independent or repair:
            report = verify.verify(connection, bar, tenant, staff, independent=independent)
            if repair and report.differences:
                written = verify.repair(connection, report)
                repaired = verify.Repaired(report, written)
                report = verify.verify(connection, bar, tenant, staff, independent=independent)
        if legacy:
            comparison = compare.compare(
                connection,
                bar,
                legacy.source(connection, mapping),
                mapping,
                tenant,
                staff,
                from_date=legacy.from_date,
                to_date=legacy.to_date,
            )
    return Outcome(report, repaired, comparison)
