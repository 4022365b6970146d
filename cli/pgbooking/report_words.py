"""What a report says in words and tables: the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10

from pgbooking.report import (
    Cancellations,
    Demand,
    Fate,
    Figures,
    Funnel,
    Heatmap,
    Peaks,
    Report,
    Section,
    Starts,
    Step,
    Utilisation,
    percent,
    plain,
)

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NOTHING = "-"
EMPTY = "There is nothing to report in this range."

TITLES = {
    Section.UTILISATION: "How much of people's working time is booked",
    Section.FUNNEL: "How many get from search to booking",
    Section.HEATMAP: "Which times are booked",
    Section.PEAKS: "When people ask",
    Section.CANCELLATIONS: "How much is cancelled, and how far ahead people book",
}


@dataclass(frozen=True)
class Table:
    """Cells as people read them: the first column is words, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def findings(figures: Figures) -> list[str]:
    """What the picture shows, in a sentence or two."""
    match figures:
        case _ if figures.is_empty:
            return [EMPTY]
        case Utilisation():
            return _utilisation(figures)
        case Funnel():
            return _funnel(figures)
        case Heatmap():
            return _heatmap(figures)
        case Peaks():
            return _peaks(figures)
        case Cancellations():
            return _cancellations(figures)
    raise TypeError(type(figures).__name__)


def notes(figures: Figures, report: Report) -> list[str]:
    """What the figures mean."""
    match figures:
        case Utilisation():
            return [
                f"Whole weeks, Monday to Sunday: {figures.first_date} to {figures.last_date}, "
                "without days to come.",
                "Percent are of working time: hours without breaks and closed days. Appointments "
                "outside of it count, too. Buffers are kept free before and after appointments.",
            ]
        case Funnel():
            searches = (
                "Searches are calls by POST, estimated where only a sample of them is recorded."
                if figures.all.searches
                else "No search was counted, so the steps begin with holds."
            )
            return [
                f"{searches} Holds: slots that somebody held, once a day. Bookings: those made "
                "through create_appointment, not by hand. Kept: neither cancelled nor missed yet.",
                f"Each step counts what happened on these days ({report.time_zone}): what is "
                "booked in them can have been held before. Calls that were too many are left out.",
            ]
        case Heatmap():
            return [
                "By the local hour in which a start lies. Offered: starts on people's grids, each "
                "person, place and instant once, without busy times; booked: those at which live "
                "appointments begin, whoever made them. Where starts lie closer together than "
                "appointments are long, 100% is out of reach: an appointment counts once.",
            ]
        case Peaks():
            searches = (
                "Searches are calls by POST, estimated where only a sample of them is recorded."
                if any(each.searches for each in figures.cells)
                else "No search was counted: people asked by holding."
            )
            return [f"By the hour of the call ({report.time_zone}). {searches}"]
        case Cancellations():
            return [
                "By the appointment's local date. Percent are of all appointments of those days, "
                "cancelled ones included; late: with less than 24 hours' notice.",
                "How far ahead: without what came from another system or was written afterwards.",
                f"A {figures.period} has only its days within the range.",
            ]
    raise TypeError(type(figures).__name__)


def tables(figures: Figures) -> list[Table]:
    """The figures of the picture."""
    if figures.is_empty:
        return []
    match figures:
        case Utilisation():
            return [_people(figures)]
        case Funnel():
            return [
                _steps("All", [figures.all]),
                _steps("By appointment type", figures.by_appointment_type),
                _steps("By person", figures.by_staff),
                Table(
                    "Refused holds, by code",
                    ("code", "refused"),
                    [(each.name or "", f"{each.refusals:,}") for each in figures.refusals],
                ),
            ]
        case Heatmap():
            return [_counts(figures)]
        case Peaks():
            return [_top(figures), _asked(figures)]
        case Cancellations():
            has_leads = any(count for _, count in leads_of(figures.all))
            return [_fates(figures), *([_leads(figures)] if has_leads else [])]
    raise TypeError(type(figures).__name__)


def _utilisation(figures: Utilisation) -> list[str]:
    people = [each for each in figures.people if each.utilisation_percent is not None]
    working = sum(each.working_minutes for each in people)
    if not working:
        return ["Nobody had working time; what is booked lies outside of it."]
    booked, buffers, travel = (
        share(percent(sum(minutes), working))
        for minutes in zip(
            *((each.booked_minutes, each.buffer_minutes, each.travel_minutes) for each in people),
            strict=True,
        )
    )
    sentences = [
        f"Of {hours(working)} of working time {booked} are booked, {buffers} buffers and {travel} "
        "travel."
    ]
    if len(people) > 1:
        by_use = sorted(people, key=lambda each: each.utilisation_percent or 0)
        most, least = by_use[-1], by_use[0]
        sentences.append(
            f"Most: {plain(most.staff)} ({share(most.utilisation_percent)}), least: "
            f"{plain(least.staff)} ({share(least.utilisation_percent)})."
        )
    return sentences


def _funnel(figures: Funnel) -> list[str]:
    everything = figures.all
    steps = [
        f"{count:,} {name}{'' if rate is None else f' ({share(rate)})'}"
        for count, name, rate in steps_of(everything)
    ]
    sentences = [" → ".join(steps) + "."]
    if everything.seconds_to_book is not None:
        sentences.append(
            f"From hold to booking it takes {duration(everything.seconds_to_book)} on average "
            f"(of {everything.timed_bookings:,})."
        )
    if everything.searches:
        nothing = percent(everything.searches_without_result, everything.searches)
        sentences.append(f"{share(nothing)} of searches found nothing.")
    refused = sum(each.refusals for each in figures.refusals)
    sentences.append(f"{refused:,} holds were refused." if refused else "No hold was refused.")
    return sentences


def steps_of(step: Step) -> list[tuple[int, str, float | None]]:
    """Count, name and rate (percent of the step before) of each step that is counted."""
    steps = [
        (step.searches, "searches", None),
        (step.holds, "holds", step.hold_percent),
        (step.bookings, "bookings", step.booking_percent),
        (step.kept, "kept", step.kept_percent),
    ]
    return steps if step.searches else steps[1:]


def _heatmap(figures: Heatmap) -> list[str]:
    offered = sum(each.offered for each in figures.cells)
    booked = sum(each.booked for each in figures.cells)
    sentences = [f"{share(percent(booked, offered))} of {offered:,} offered starts are booked."]
    cells = [each for each in figures.cells if each.booked_percent is not None]
    if cells:
        most = max(cells, key=lambda each: (each.booked_percent or 0, each.offered))
        least = min(cells, key=lambda each: (each.booked_percent or 0, -each.offered))
        sentences.append(f"Fullest: {_cell_named(most)}, emptiest: {_cell_named(least)}.")
    return sentences


def _cell_named(cell: Starts) -> str:
    return f"{weekday_hour(cell)} ({share(cell.booked_percent)} of {cell.offered:,})"


def _peaks(figures: Peaks) -> list[str]:
    asked = sum(each.asked for each in figures.cells)
    if not asked:
        return ["Nobody asked for a time in this range."]
    most = figures.top[0]
    return [
        f"People asked {asked:,} times, most on {weekday_hour(most)} "
        f"({most.asked:,} times, {share(percent(most.asked, asked))})."
    ]


def _cancellations(figures: Cancellations) -> list[str]:
    everything = figures.all
    sentences = [
        f"Of {everything.appointments:,} appointments {share(everything.cancellation_percent)} "
        f"were cancelled and {share(everything.no_show_percent)} were no-shows."
    ]
    if everything.average_notice_hours is not None:
        late = percent(everything.cancelled_late, everything.cancelled)
        sentences.append(
            f"Who cancels does so {ahead(everything.average_notice_hours)} before on average, and "
            f"in {share(late)} of cases less than 24 hours before."
        )
    total = sum(count for _, count in leads_of(everything))
    if total:
        name, count = max(leads_of(everything), key=lambda each: each[1])
        sentences.append(f"Most book {name}: {share(percent(count, total))}.")
    return sentences


def leads_of(fate: Fate) -> list[tuple[str, int]]:
    """How many were booked how far ahead."""
    return [
        ("on the same day", fate.same_day),
        ("1 to 6 days ahead", fate.days_1_to_6),
        ("7 to 29 days ahead", fate.days_7_to_29),
        ("30 or more days ahead", fate.days_30_or_more),
    ]


def _people(figures: Utilisation) -> Table:
    return Table(
        "By person, hours and percent of working time",
        ("person", "working", "booked", "", "buffers", "", "travel", "", "free", ""),
        [
            (
                plain(each.staff),
                hours(each.working_minutes),
                *(
                    cell
                    for minutes in (
                        each.booked_minutes,
                        each.buffer_minutes,
                        each.travel_minutes,
                        each.free_minutes,
                    )
                    for cell in (hours(minutes), share(percent(minutes, each.working_minutes)))
                ),
            )
            for each in figures.people
        ],
    )


def _steps(title: str, steps: Sequence[Step]) -> Table:
    has_searches = any(each.searches for each in steps)
    return Table(
        title,
        (
            "",
            *(("searches", "found none") if has_searches else ()),
            "holds",
            "bookings",
            "kept",
            "hold to booking",
        ),
        [
            (
                "all" if each.by == "all" else plain(each.name or "none named"),
                *((f"{each.searches:,}", f"{each.searches_without_result:,}") * has_searches),
                _with_rate(each.holds, each.hold_percent),
                _with_rate(each.bookings, each.booking_percent),
                _with_rate(each.kept, each.kept_percent),
                NOTHING if each.seconds_to_book is None else duration(each.seconds_to_book),
            )
            for each in steps
        ],
    )


def _with_rate(count: int, rate: float | None) -> str:
    return f"{count:,}" if rate is None else f"{count:,} ({share(rate)})"


def _counts(figures: Heatmap) -> Table:
    hours_used = sorted({each.hour for each in figures.cells})
    cells = {(each.weekday, each.hour): each for each in figures.cells}
    return Table(
        "Booked of offered starts, by hour",
        ("", *WEEKDAYS),
        [
            (
                clock(hour),
                *(
                    f"{cell.booked:,} of {cell.offered:,}" if cell.offered else NOTHING
                    for cell in (cells[weekday, hour] for weekday in range(1, 8))
                ),
            )
            for hour in hours_used
        ],
    )


def _top(figures: Peaks) -> Table:
    return Table(
        "The busiest hours",
        ("", "searches", "found nothing", "holds", "refused holds", "bookings"),
        [
            (
                weekday_hour(each),
                f"{each.searches:,}",
                f"{each.searches_without_result:,}",
                f"{each.holds:,}",
                f"{each.refused_holds:,}",
                f"{each.bookings:,}",
            )
            for each in figures.top
        ],
    )


def _asked(figures: Peaks) -> Table:
    cells = {(each.weekday, each.hour): each for each in figures.cells}
    return Table(
        "Searches, and holds granted or refused, by hour",
        ("", *WEEKDAYS),
        [
            (clock(hour), *(f"{cells[weekday, hour].asked:,}" for weekday in range(1, 8)))
            for hour in sorted({each.hour for each in figures.cells})
        ],
    )


def _fates(figures: Cancellations) -> Table:
    return Table(
        f"By {figures.period}",
        (
            figures.period,
            "appointments",
            "cancelled",
            "",
            "late",
            "notice",
            "no-shows",
            "",
        ),
        [
            (
                period_named(figures, each),
                f"{each.appointments:,}",
                f"{each.cancelled:,}",
                share(each.cancellation_percent),
                f"{each.cancelled_late:,}",
                NOTHING if each.average_notice_hours is None else ahead(each.average_notice_hours),
                f"{each.no_shows:,}",
                share(each.no_show_percent),
            )
            for each in (*figures.periods, figures.all)
        ],
    )


def _leads(figures: Cancellations) -> Table:
    leads = leads_of(figures.all)
    total = sum(count for _, count in leads)
    return Table(
        "How far ahead people book",
        ("booked", "appointments", ""),
        [(name, f"{count:,}", share(percent(count, total))) for name, count in leads],
    )


def share(rate: float | None) -> str:
    """A percentage; small ones with a decimal."""
    if rate is None:
        return NOTHING
    return f"{rate:.1f}%" if 0 < rate < 10 else f"{rate:,.0f}%"


def hours(minutes: float) -> str:
    """Minutes, as hours."""
    return f"{minutes / 60:,.1f} h" if 0 < minutes < 6000 else f"{minutes / 60:,.0f} h"


def ahead(notice_hours: float) -> str:
    """How long before: in hours, or days where there are many."""
    return f"{notice_hours:.1f} h" if notice_hours < 72 else f"{notice_hours / 24:,.1f} days"


def duration(seconds: float) -> str:
    """Seconds, as people say them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return hours(seconds / 60)


def period_named(figures: Cancellations, fate: Fate) -> str:
    """A week by its first day, a month by its number."""
    if fate.first_date is None:
        return "all"
    return f"{fate.first_date:%Y-%m}" if figures.period == "month" else f"{fate.first_date}"


def decimals(values: Iterable[float | None]) -> int:
    """How many of them the numbers of a heatmap have: one where all are small."""
    known = [value for value in values if value is not None]
    return int(max(known, default=0) < 10 and any(value != int(value) for value in known))


def scale(highest: float) -> float:
    """A round number not below it, to shade or draw up to."""
    if highest <= 0:
        return 1
    power = 10.0 ** floor(log10(highest))
    return next(power * each for each in (1, 2, 3, 5, 10) if power * each >= highest)


def clock(hour: int) -> str:
    """As on a clock: 09:00."""
    return f"{hour:02}:00"


def weekday_hour(cell: Starts | Demand) -> str:
    """An hour of the week."""
    return f"{WEEKDAYS[cell.weekday - 1]} {clock(cell.hour)}"
