"""What things cost, beside something of the same run that says what that is worth: `make bench`.

One tenant, everybody at work from 9 to 17 on every day, appointments of three lengths at a step of
15 minutes. Times are compared within a run and never between machines; each row ends in `meets` or
`misses`. A second table says how the cost of a slot (or of a call) grows with the number of people.

The server is the one at DATABASE_URL, or one of its own, with durable commits: PostgreSQL 15 to 18
of the system's packages (--server 15), or the embedded 18.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.table import Table

from pgbooking import migrate
from pgbooking.output import print_json
from tests.benchmarks import calculating, holding, publishing, reading, writing
from tests.benchmarks.bench import DURATIONS, TENANT, Bench
from tests.benchmarks.figures import Figure, Row
from tests.postgres import Server, running_server

# An operator's settings and not a test's: commits survive, and the indexes fit in memory.
SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "200",
    "timezone": "UTC",
}
SHOWN = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")

GROWTH_AIM = 1.25
GROUPS = ("publishing", "calculating", "reading", "writing", "holding")


@dataclass(frozen=True)
class Results:
    """Everything that a run prints."""

    staff: int
    days: int
    repeats: int
    runs: int
    settings: dict[str, str]
    rows: list[Row]
    # The smallest size's figures of each row, and the larger ones', by size.
    growth: dict[int, dict[str, Row]]


def measure(server: Server, options: argparse.Namespace, staff: int) -> list[Figure]:
    """All rows once, in a database of their own, which is exact at the end."""
    with scratch_database(server.url) as url:
        for _ in migrate.apply(url):
            pass
        with psycopg.connect(url, autocommit=True) as connection:
            bench = Bench(connection, url, staff, options.days, min(options.repeats, staff))
            bench.set_up()
            many = 100 * staff
            figures = []
            # Publishing is first: it needs an empty table, and all others need slots.
            chosen: dict[str, Iterator[Figure]] = {
                "publishing": publishing.figures(bench),
                "calculating": calculating.figures(bench),
                "reading": reading.figures(bench),
                "writing": writing.figures(bench, many),
                "holding": holding.figures(bench, options.transactions, many),
            }
            if options.only and options.only != "publishing":
                publishing.publish(bench)
                bench.settle()
            for figure in chosen[options.only] if options.only else chain(*chosen.values()):
                print("  " + "  ".join(cells(Row([figure]))), file=sys.stderr)
                figures.append(figure)
            differ = bench.value("select count(*) from booking.find_differences(%s)", TENANT)
            assert differ == 0, f"published and calculated differ in {differ} slots"
            return figures


def run(options: argparse.Namespace) -> Results:
    """Every size, as often as asked for."""
    choice = options.server or os.environ.get("DATABASE_URL") or "embedded"
    with running_server(choice, SETTINGS) as server:
        with psycopg.connect(server.url) as connection:
            shown = connection.execute(
                "select name, current_setting(name) from unnest(%s::text[]) as name", [list(SHOWN)]
            )
            settings: dict[str, str] = dict(shown.fetchall())
        sizes = sorted({options.staff, *options.growth})
        figures: dict[int, list[list[Figure]]] = {}
        for staff in sizes:
            for number in range(options.runs):
                print(f"{staff} people, run {number + 1} of {options.runs}", file=sys.stderr)
                figures.setdefault(staff, []).append(measure(server, options, staff))
    rows = {
        staff: [Row(same) for same in zip(*runs, strict=True)] for staff, runs in figures.items()
    }
    return Results(
        options.staff,
        options.days,
        options.repeats,
        options.runs,
        settings,
        rows[options.staff],
        {staff: {row.first.name: row for row in rows[staff]} for staff in sorted(options.growth)},
    )


def grown(results: Results) -> Iterator[tuple[str, list[float], str]]:
    """Of each row the cost of a slot (or call) over that at the smallest size, and the verdict."""
    if not results.growth:
        return
    smallest, *larger = results.growth.values()
    for name, row in smallest.items():
        if larger and all(name in rows for rows in larger):
            ratios = [
                rows[name].median(lambda figure: figure.cost)
                / row.median(lambda figure: figure.cost)
                for rows in larger
            ]
            yield name, ratios, "meets" if max(ratios) <= GROWTH_AIM else "misses"


def heading(results: Results) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    return (
        f"{results.staff} people, {results.days} days, {len(DURATIONS)} shapes, a step of 15 "
        f"minutes. Runs: {results.runs}; calls and changes are medians of up to {results.repeats} "
        f"in each.\n{settings}"
    )


def cells(row: Row) -> list[str]:
    """One line of the table."""
    figure = row.first
    ratios = [ratio_in_words(row.ratio, figure.kind)]
    if len(row.figures) > 1:
        ratios.append(f"({number(row.ratios[0])} to {number(row.ratios[-1])})")
    return [
        figure.name + (f" ({figure.remark})" if figure.remark else ""),
        in_words(row.median(lambda figure: figure.measured), figure.kind),
        figure.beside,
        in_words(row.median(lambda figure: figure.compared), figure.kind) if figure.beside else "",
        " ".join(ratios),
        ("≤ " if figure.kind in ("at most", "bytes") else "≥ ")
        + ratio_in_words(figure.aim, figure.kind),
        row.verdict,
    ]


HEADS = ("", "", "compared with", "", "ratio", "aim", "")


def tables(results: Results) -> list[tuple[list[str], list[list[str]]]]:
    """Heads and lines of both tables."""
    both = [(list(HEADS), [cells(row) for row in results.rows])]
    if len(results.growth) > 1:
        smallest, *larger = results.growth
        both.append(
            (
                [f"cost of each, beside {smallest} people", *(f"{n:,}" for n in larger), "aim", ""],
                [
                    [name, *(f"{ratio:.2f} x" for ratio in ratios), f"≤ {GROWTH_AIM} x", verdict]
                    for name, ratios, verdict in grown(results)
                ],
            )
        )
    return both


def print_tables(results: Results) -> None:
    """For a terminal."""
    console = Console(highlight=False, width=200)
    console.print(heading(results), soft_wrap=True)
    for heads, lines in tables(results):
        table = Table(box=None, padding=(0, 2, 0, 0))
        for head in heads:
            table.add_column(head, justify="left")
        for line in lines:
            table.add_row(*line)
        console.print()
        console.print(table)


def print_markdown(results: Results) -> None:
    """For the README."""
    print(heading(results).replace("\n", "  \n"))
    for heads, lines in tables(results):
        print()
        for line in (heads, ["---"] * len(heads), *lines):
            print("| " + " | ".join(line) + " |")


def ratio_in_words(ratio: float, kind: str) -> str:
    match kind:
        case "bytes":
            return f"{ratio:,.0f} bytes"
        case "times faster":
            return f"{number(ratio)} x faster"
        case "share of the rate":
            return f"{ratio:.0%} of the rate"
        case _:
            return f"{number(ratio)} x"


def number(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 20 else f"{ratio:.2f}"


def in_words(value: float, kind: str) -> str:
    if kind == "bytes":
        return f"{value:,.0f} bytes"
    if kind == "share of the rate":
        return f"{value:,.0f}/s"
    if value >= 1:
        return f"{value:,.2f} s"
    return f"{value * 1e3:,.2f} ms" if value >= 1e-4 else f"{value * 1e6:,.2f} µs"


@contextlib.contextmanager
def scratch_database(server_url: str) -> Iterator[str]:
    """A database of this run's own on that server; dropped at the end."""
    name = f"pgbooking_bench_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        try:
            yield make_conninfo(server_url, dbname=name)
        finally:
            connection.execute(f"drop database {name} with (force)")


def as_json(results: Results) -> dict[str, Any]:
    return {
        **asdict(results),
        "rows": [
            {
                **asdict(row.first),
                "measured": [figure.measured for figure in row.figures],
                "compared": [figure.compared for figure in row.figures],
                "ratios": row.ratios,
                "ratio": row.ratio,
                "verdict": row.verdict,
            }
            for row in results.rows
        ],
        "growth": [
            {"name": name, "ratios": ratios, "verdict": verdict}
            for name, ratios, verdict in grown(results)
        ],
    }


def main() -> int:
    """Measure and print. The exit code is 0, whatever is met: noise is no failure."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--staff", type=int, default=100)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=20, help="of each change and call")
    parser.add_argument("--transactions", type=int, default=400, help="of each pgbench client")
    parser.add_argument("--runs", type=int, default=1, help="of everything: medians and spread")
    parser.add_argument("--growth", type=sizes, default=[], help="numbers of staff: 10,100,1000")
    parser.add_argument("--server", help="15 to 18 (packages), embedded, or a URL")
    parser.add_argument("--only", choices=GROUPS, help="one group of rows")
    parser.add_argument("--tiny", action="store_true", help="3 and 4 staff, 9 days: that it runs")
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true")
    style.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    if options.tiny:
        vars(options).update(staff=3, days=9, repeats=3, transactions=20, growth=[3, 4])
    if not holding.find_pgbench():
        print("pgbench is not here: the rows of reserve_slot are left out", file=sys.stderr)
    results = run(options)
    if options.json:
        print_json(as_json(results))
    elif options.markdown:
        print_markdown(results)
    else:
        print_tables(results)
    return 0


def sizes(text: str) -> list[int]:
    return sorted(int(part) for part in text.split(","))


if __name__ == "__main__":
    raise SystemExit(main())
