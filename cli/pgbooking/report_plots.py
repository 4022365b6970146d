"""The pictures of a report, by matplotlib, as PNG: as wide as a page of A4 between its margins.

What colours say, hatches, markers or numbers say too.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from math import isnan, nan
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.report import (
    Cancellations,
    Figures,
    Funnel,
    Heatmap,
    Peaks,
    Person,
    PersonWeek,
    Report,
    Section,
    Utilisation,
    percent,
    plain,
)
from pgbooking.report_words import (
    TITLES,
    WEEKDAYS,
    clock,
    decimals,
    findings,
    leads_of,
    scale,
    share,
    steps_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.5
"""Inches."""

DOTS_PER_INCH = 200
MOST_PEOPLE = 60
MOST_LETTERS = 22

STYLE: dict[Any, object] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.4",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "text.parse_math": False,  # a name may have a $ in it
}


@dataclass(frozen=True)
class _Look:
    """How one kind of thing is drawn; the colours differ in grey, too."""

    color: str
    hatch: str = ""
    marker: str = ""
    line: str = "-"


BOOKED = _Look("#0b4f7d")
BUFFER = _Look("#e69f00", "////")
TRAVEL = _Look("#9ad0ee", "....")
FREE = _Look("#f2f2f2")
CANCELLED = _Look("#0b4f7d", "", "o", "-")
LATE = _Look("#e69f00", "////")
NO_SHOW = _Look("#c75000", "", "s", "--")


def need_matplotlib() -> None:
    """Raise Problem (exit code 2) where the extra `report` is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise Problem(
            "Pictures need a package that is not installed.",
            "pip install 'pgbooking[report]'",
            EXIT_USAGE,
        ) from None


def png(report: Report, section: Section) -> bytes:
    """A section's picture; where there is nothing to draw, it says so."""
    with _style():
        written = io.BytesIO()
        figure(report, section).savefig(written, format="png", metadata={"Title": report.about})
    return written.getvalue()


def figure(report: Report, section: Section) -> Figure:
    """The same before it is saved."""
    from matplotlib.figure import Figure

    figures = report.sections[section]
    with _style():
        drawn = Figure(figsize=(WIDTH, 0.1), dpi=DOTS_PER_INCH, layout="constrained")
        if not figures.is_empty:
            _draw(drawn, figures)
        _frame(drawn, report, section)
    return drawn


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    # About folders for its cache, on stderr, when a service has no home.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font has not
        yield


def _draw(figure: Figure, figures: Figures) -> None:
    match figures:
        case Utilisation():
            _utilisation(figure, figures)
        case Funnel():
            _funnel(figure, figures)
        case Heatmap():
            _heatmap(figure, figures)
        case Peaks():
            _peaks(figure, figures)
        case Cancellations():
            _cancellations(figure, figures)


def _frame(figure: Figure, report: Report, section: Section) -> None:
    """Title, finding and whose figures they are, above and below whatever the height."""
    height = figure.get_figheight()
    said = findings(report.sections[section])
    lines = [line for sentence in said for line in _wrapped(sentence)]
    top, bottom = 0.3 + 0.16 * len(lines), 0.25
    figure.set_figheight(height + top + bottom)
    whole = height + top + bottom
    engine = figure.get_layout_engine()
    assert engine is not None  # noqa: S101 - it was asked for
    engine.set(rect=(0.01, bottom / whole, 0.98, height / whole), hspace=0.03)  # type: ignore[call-arg]
    figure.text(0.015, 1 - 0.08 / whole, TITLES[section], size=11, weight="bold", va="top")
    figure.text(0.015, 1 - 0.3 / whole, "\n".join(lines), va="top", linespacing=1.35)
    figure.text(0.015, 0.07 / whole, report.about, color="0.35", size=7)


def _wrapped(sentence: str, most: int = 118) -> list[str]:
    import textwrap

    return textwrap.wrap(sentence, most)


def _utilisation(figure: Figure, figures: Utilisation) -> None:
    people = sorted(figures.people, key=lambda each: -each.working_minutes)[:MOST_PEOPLE]
    columns = min(len(people), 3 if len(people) <= 9 else 5)
    rows = -(-len(people) // columns)
    # So that thirty people fit on a page.
    bars_height = 0.95 + (0.19 if len(people) <= 15 else 0.15) * len(people)
    lines_height = 0.5 + (0.95 if columns <= 3 else 0.65) * rows
    figure.set_figheight(bars_height + lines_height)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=(bars_height, lines_height))
    bars, lines = parts[0, 0], parts[1, 0]
    _people(bars.subplots(), people)
    left_out = len(figures.people) - len(people)
    if left_out:
        bars.supxlabel(f"{left_out} people with less working time are not in the picture", size=7)

    weeks = sorted({each.week for each in figures.weeks})
    lines.suptitle("Booked share of working time by week", x=0.01, ha="left", size=9, weight="bold")
    grid = lines.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    theirs: dict[UUID, list[PersonWeek]] = {}
    for each in figures.weeks:
        theirs.setdefault(each.staff_id, []).append(each)
    for axes, person in zip(grid.flat, people, strict=False):
        _weekly(axes, weeks, theirs[person.staff_id], person)
    for axes in list(grid.flat)[len(people) :]:
        axes.set_axis_off()
    for column in range(columns):
        last = max(row for row in range(rows) if row * columns + column < len(people))
        grid[last][column].tick_params(labelbottom=True)


def _people(axes: Axes, people: Sequence[Person]) -> None:
    places = range(len(people))
    left = [0.0] * len(people)
    for name, look in (("booked", BOOKED), ("buffer", BUFFER), ("travel", TRAVEL), ("free", FREE)):
        widths = [getattr(each, f"{name}_minutes") / 60 for each in people]
        axes.barh(
            places,
            widths,
            left=left,
            color=look.color,
            hatch=look.hatch,
            edgecolor="0.25",
            linewidth=0.4,
            label="buffers" if name == "buffer" else name,
        )
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, person, end in zip(places, people, left, strict=True):
        axes.annotate(
            share(person.utilisation_percent),
            (end, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            size=7,
        )
    axes.set_yticks(places, [plain(each.staff, MOST_LETTERS) for each in people])
    axes.set_ylim(len(people) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", labelsize=8 if len(people) <= 15 else 7)
    axes.set_title("Working time by person, and the booked share of it", pad=16)
    axes.set_xlabel("hours")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="x", color="0.9")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0, fontsize=7)


def _weekly(
    axes: Axes, weeks: Sequence[date], theirs: Sequence[PersonWeek], person: Person
) -> None:
    rates = {each.week: each.utilisation_percent for each in theirs}
    values = [rates.get(week) for week in weeks]
    drawn = [nan if value is None else value for value in values]
    highest = max((value for value in values if value is not None), default=0)
    axes.plot(range(len(weeks)), drawn, color=BOOKED.color, marker="o", markersize=2, linewidth=1)
    axes.set_title(plain(person.staff, MOST_LETTERS), size=7, weight="normal", pad=2)
    axes.set_ylim(0, max(100, highest, axes.get_ylim()[1]))
    _percent_axis(axes)
    _date_axis(axes, weeks, 3)
    axes.tick_params(labelsize=6)
    axes.grid(color="0.9")


def _funnel(figure: Figure, figures: Funnel) -> None:
    steps = steps_of(figures.all)
    refusals = figures.refusals[:10]
    figure.set_figheight(0.8 + 0.32 * max(len(steps), len(refusals) if refusals else 0))
    left, *right = figure.subplots(
        1, 2 if refusals else 1, squeeze=False, width_ratios=(3, 2) if refusals else (1,)
    )[0]
    _counted(
        left,
        [name for _, name, _ in steps],
        [count for count, _, _ in steps],
        [
            "" if rate is None else f" ({share(rate)} of {before})"
            for (_, _, rate), before in zip(
                steps, ["", *(name for _, name, _ in steps)], strict=False
            )
        ],
        BOOKED,
    )
    left.set_title("Steps, and the share of the step before")
    for axes in right:
        _counted(
            axes,
            [plain(each.name or "", MOST_LETTERS) for each in refusals],
            [each.refusals for each in refusals],
            [""] * len(refusals),
            LATE,
        )
        axes.set_title("Refused holds, by code")


def _counted(
    axes: Axes,
    names: Sequence[str],
    counts: Sequence[int],
    remarks: Sequence[str],
    look: _Look,
) -> None:
    """Bars from top to bottom with their counts."""
    from matplotlib.ticker import MaxNLocator

    axes.barh(
        range(len(names)),
        counts,
        height=0.65,
        color=look.color,
        hatch=look.hatch,
        edgecolor="0.25",
        linewidth=0.4,
    )
    for place, (count, remark) in enumerate(zip(counts, remarks, strict=True)):
        axes.annotate(
            f"{count:,}{remark}",
            (count, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            size=7,
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, max(max(counts, default=0), 1) * (1.6 if any(remarks) else 1.2))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="x", color="0.9")


def _heatmap(figure: Figure, figures: Heatmap) -> None:
    rates = {(each.weekday, each.hour): each.booked_percent for each in figures.cells}
    figure.set_figheight(3.4)
    axes = figure.subplots()
    _week(figure, axes, rates, "booked share of offered starts", "%")
    axes.set_title("Booked share of offered starts, in percent, by local hour")
    axes.set_xlabel("hour in which the start lies; grey: nothing is offered")


def _peaks(figure: Figure, figures: Peaks) -> None:
    panels = [
        (title, values)
        for title, name in (
            ("Searches", "searches"),
            ("Searches that found nothing", "searches_without_result"),
            ("Holds", "holds"),
            ("Refused holds", "refused_holds"),
        )
        if any(
            (
                values := {(e.weekday, e.hour): float(getattr(e, name)) for e in figures.cells}
            ).values()
        )
    ]
    if not panels:
        panels = [("Bookings", {(e.weekday, e.hour): float(e.bookings) for e in figures.cells})]
    figure.set_figheight(2.4 * len(panels))
    for axes, (title, values) in zip(
        figure.subplots(len(panels), 1, squeeze=False).flat, panels, strict=True
    ):
        _week(figure, axes, values, "calls", "")
        axes.set_title(f"{title}, by the hour of the call")


def _week(
    figure: Figure,
    axes: Axes,
    values: Mapping[tuple[int, int], float | None],
    unit: str,
    suffix: str,
) -> None:
    """Weekdays by hours, each with its number; what is None stays blank."""
    from matplotlib.ticker import MaxNLocator

    highest = max((value for value in values.values() if value is not None), default=0)
    top, places = scale(highest), decimals(values.values())
    used = sorted({hour for _, hour in values})
    rows = [
        [nan if (value := values[weekday, hour]) is None else value for hour in used]
        for weekday in range(1, 8)
    ]
    drawn = axes.imshow(rows, cmap="cividis", vmin=0, vmax=top, aspect="auto")
    for row, cells in enumerate(rows):
        for column, value in enumerate(cells):
            if not isnan(value):
                axes.text(
                    column,
                    row,
                    f"{value:,.{places}f}",
                    ha="center",
                    va="center",
                    size=7 if len(used) <= 16 else 5.5,
                    color="white" if value < 0.55 * top else "black",
                )
    axes.set_yticks(range(7), WEEKDAYS)
    axes.set_xticks(
        range(len(used)), [clock(hour) for hour in used], rotation=0 if len(used) <= 14 else 60
    )
    axes.tick_params(length=0, labelsize=7)
    axes.spines[:].set_visible(False)
    axes.set_facecolor("0.93")
    ticks = MaxNLocator(5, integer=not suffix)
    bar = figure.colorbar(drawn, ax=axes, pad=0.01, aspect=25, ticks=ticks)
    bar.outline.set_visible(False)
    bar.set_label(unit, size=7)
    bar.ax.tick_params(labelsize=7)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}{suffix}")


def _cancellations(figure: Figure, figures: Cancellations) -> None:
    from matplotlib.ticker import MaxNLocator

    periods = figures.periods
    dates = [each.first_date for each in periods if each.first_date]
    figure.set_figheight(4.6)
    leads = leads_of(figures.all)
    total = sum(count for _, count in leads)
    grid = figure.subplot_mosaic([["rates", "rates"], ["notice", "leads" if total else "notice"]])

    rates = grid["rates"]
    for look, label, values in (
        (CANCELLED, "cancelled", [each.cancellation_percent for each in periods]),
        (NO_SHOW, "no-shows", [each.no_show_percent for each in periods]),
    ):
        rates.plot(
            range(len(periods)),
            [nan if value is None else value for value in values],
            color=look.color,
            marker=look.marker,
            markersize=3.5,
            linestyle=look.line,
            linewidth=1.2,
            label=label,
        )
    rates.set_title(f"Share of appointments, by {figures.period} of the appointment")
    rates.set_ylim(bottom=0)
    _percent_axis(rates)
    _date_axis(rates, dates, 8, figures.period)
    rates.grid(color="0.9")
    rates.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0, fontsize=7)

    notice = grid["notice"]
    early = [each.cancelled - each.cancelled_late for each in periods]
    late = [each.cancelled_late for each in periods]
    places = range(len(periods))
    for counts, bottom, look, label in (
        (early, [0] * len(early), TRAVEL, "24 hours or more"),
        (late, early, LATE, "less"),
    ):
        notice.bar(
            places,
            counts,
            bottom=bottom,
            color=look.color,
            hatch=look.hatch,
            edgecolor="0.25",
            linewidth=0.4,
            label=label,
        )
    notice.set_title("Cancelled, by notice given", pad=16)
    notice.set_ylabel("appointments")
    notice.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    notice.margins(x=0.02)
    _date_axis(notice, dates, 4 if total else 8, figures.period)
    notice.grid(axis="y", color="0.9")
    notice.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0, fontsize=7)

    if not total:
        return
    _counted(
        grid["leads"],
        [name for name, _ in leads],
        [count for _, count in leads],
        [f" ({share(percent(count, total))})" for _, count in leads],
        BOOKED,
    )
    grid["leads"].set_title("How far ahead they were booked", pad=16)
    grid["leads"].set_xlabel("appointments")


def _percent_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}%")


def _date_axis(axes: Axes, dates: Sequence[date], most: int, period: str = "week") -> None:
    """Some of the dates, which lie at 0, 1, 2 …; with the year where they have several."""
    step = max(1, -(-len(dates) // most))
    shown = range(0, len(dates), step)
    has_years = len({each.year for each in dates}) > 1
    names = [
        " ".join(
            [
                *([f"{dates[place].day}"] if period == "week" else []),
                f"{dates[place]:%b}",
                *([f"{dates[place]:%Y}"] if has_years else []),
            ]
        )
        for place in shown
    ]
    axes.set_xticks([*shown], names)
    axes.set_xlim(-0.5, max(len(dates) - 0.5, 0.5))
