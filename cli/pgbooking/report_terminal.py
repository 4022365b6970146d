"""A report in the terminal: plots of characters that need no colour, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.report import (
    Cancellations,
    Figures,
    Funnel,
    Heatmap,
    Peaks,
    Report,
    Utilisation,
    plain,
)
from pgbooking.report_words import (
    TITLES,
    WEEKDAYS,
    Table,
    clock,
    decimals,
    findings,
    leads_of,
    notes,
    period_named,
    scale,
    steps_of,
    tables,
)

MOST_COLUMNS = 110
MOST_BARS = 30
NARROWEST = 40
MARKERS = ("█", "▒", "░", "·")

# Of cividis, which the colour-blind can read, from little to much.
SHADES = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")
DARK_SHADES = 3


def need_plotext() -> None:
    """Raise Problem (exit code 2) where the extra `report` is not installed."""
    try:
        import plotext  # noqa: F401
    except ImportError:
        raise Problem(
            "Plots in the terminal need a package that is not installed.",
            "pip install 'pgbooking[report]', or --json or --csv",
            EXIT_USAGE,
        ) from None


def print_report(report: Report) -> None:
    """Each section: what it says, its plot, its tables, and what the figures mean."""
    console = Console(highlight=False)
    console.print(Text(report.about, "bold"))
    if report.warning:
        console.print(Text(report.warning, "bold red"))
    for section, figures in report.sections.items():
        console.print()
        console.rule(Text(TITLES[section], "bold"), align="left")
        for sentence in findings(figures):
            console.print(Text(sentence))
        if figures.is_empty:
            continue
        console.print()
        _print_picture(console, figures)
        for table in tables(figures):
            # The picture has its numbers already.
            if table.rows and table.columns[1:] != WEEKDAYS:
                console.print()
                console.print(Text(table.title, "bold"))
                console.print(_table(table))
        console.print()
        for note in notes(figures, report):
            console.print(Text(note, "dim"))


def _print_picture(console: Console, figures: Figures) -> None:
    match figures:
        case Utilisation():
            _print_people(console, figures)
        case Funnel():
            steps = steps_of(figures.all)
            _print_bars(console, [name for _, name, _ in steps], [[n for n, _, _ in steps]])
        case Heatmap():
            console.print(Text("Booked share of offered starts, percent", "bold"))
            rates = {(each.weekday, each.hour): each.booked_percent for each in figures.cells}
            console.print(_shaded(rates))
        case Peaks():
            console.print(Text("How often people asked", "bold"))
            asked = {(each.weekday, each.hour): float(each.asked) for each in figures.cells}
            console.print(_shaded(asked))
        case Cancellations():
            _print_rates(console, figures)
            leads = leads_of(figures.all)
            console.print()
            _print_bars(console, [name for name, _ in leads], [[count for _, count in leads]])


def _print_people(console: Console, figures: Utilisation) -> None:
    people = sorted(figures.people, key=lambda each: each.working_minutes)[-MOST_BARS:]
    _print_bars(
        console,
        [plain(each.staff, 20) for each in people][::-1],
        [
            [getattr(each, f"{part}_minutes") / 60 for each in people][::-1]
            for part in ("booked", "buffer", "travel", "free")
        ],
    )
    parts = zip(MARKERS, ("booked", "buffers", "travel", "free"), strict=True)
    console.print(Text("  ".join(f"{marker} {name}" for marker, name in parts) + " (hours)", "dim"))
    if len(people) < len(figures.people):
        console.print(
            Text(f"The {len(people)} with most working time, of {len(figures.people)}.", "dim")
        )


def _print_bars(console: Console, names: Sequence[str], parts: Sequence[Sequence[float]]) -> None:
    """A bar for each name, from top to bottom, of parts one after the other."""
    if not any(any(part) for part in parts):
        return
    plot = _plot(console, 2 * len(names) + 3)
    plot.draw(
        plot.bar(
            [*reversed(names)],
            [[*reversed(part)] for part in parts],
            stacked=True,
            orientation="horizontal",
            width=0.5,
            marker=[*MARKERS[: len(parts)]],
        )
    )
    longest = max(map(sum, zip(*parts, strict=True)))
    _set_ticks(plot, "x", longest)
    _print_plot(console, plot)


def _print_rates(console: Console, figures: Cancellations) -> None:
    periods = figures.periods
    rates = (
        ("cancelled", "●", [each.cancellation_percent for each in periods]),
        ("no-shows", "x", [each.no_show_percent for each in periods]),
    )
    highest = max((rate or 0 for _, _, line in rates for rate in line), default=0)
    if len(periods) < 2 or not highest:
        return
    plot = _plot(console, 14)
    for _, marker, line in rates:
        points = [(place, rate) for place, rate in enumerate(line) if rate is not None]
        signal = plot.signal(
            [place for place, _ in points], [rate for _, rate in points], marker=marker
        )
        signal.lines()
        plot.draw(signal)
    step = max(1, -(-len(periods) // 7))
    shown = range(0, len(periods), step)
    plot.ruler("x").ticks([*shown], [period_named(figures, periods[place]) for place in shown])
    _set_ticks(plot, "y", highest, "%")
    _print_plot(console, plot)
    legend = "  ".join(f"{marker} {name}" for name, marker, _ in rates)
    console.print(Text(f"{legend} (percent of appointments, by {figures.period})", "dim"))


def _plot(console: Console, height: int) -> Any:
    import plotext

    plot = plotext.figure
    plot.clear()
    plot.theme("colorless")
    plot.plot_size(max(NARROWEST, min(console.width, MOST_COLUMNS)), height)
    return plot


def _set_ticks(plot: Any, axis: str, highest: float, unit: str = "") -> None:
    """From 0, at round numbers."""
    step = scale(highest / 5)
    ticks = [step * each for each in range(int(highest / step) + 1)]
    plot.ruler(axis).lim(0, highest)
    plot.ruler(axis).ticks(ticks, [f"{each:,.10g}{unit}" for each in ticks])


def _print_plot(console: Console, plot: Any) -> None:
    drawn = plot.build().string(colorless=True).rstrip()
    console.print(Text(drawn, no_wrap=True, overflow="crop"))


def _shaded(values: Mapping[tuple[int, int], float | None]) -> RichTable:
    """Weekdays by hours; each cell has its number, so that it can be read without colours."""
    highest = max((value for value in values.values() if value is not None), default=0)
    places = decimals(values.values())
    table = RichTable(box=None, pad_edge=False, padding=0)
    table.add_column("")
    for name in WEEKDAYS:
        table.add_column(f" {name[:3]}", justify="right", min_width=6)
    for hour in sorted({hour for _, hour in values}):
        cells = []
        for weekday in range(1, 8):
            value = values[weekday, hour]
            if value is None:
                cells.append(Text("· ", "dim"))
                continue
            shade = min(int(value / scale(highest) * len(SHADES)), len(SHADES) - 1)
            ink = "white" if shade < DARK_SHADES else "black"
            cells.append(Text(f"{value:,.{places}f} ".rjust(6), f"{ink} on {SHADES[shade]}"))
        table.add_row(f"{clock(hour)} ", *cells)
    return table


def _table(table: Table) -> RichTable:
    shown = RichTable(box=None, pad_edge=False)
    for place, column in enumerate(table.columns):
        shown.add_column(Text(column), justify="right" if place else "left", no_wrap=place > 0)
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown
