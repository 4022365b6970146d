"""Causes: what each means, and what the other system's own starts say of a slot it leaves out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from uuid import UUID

# Each reads on from "Ada, Tue 3 Mar 2026, 10:00 (Europe/Berlin), cut: ".
WORDS = {
    # Offered there and not here, by the calculator's rules.
    "in_the_past": "the old system offers what has begun",
    "not_offered": "the old system offers what this person or place does not",
    "appointment": "the old system offers a time that an appointment takes",
    "busy_time": "the old system offers a time at which this person is busy",
    "break_ignored": "the old system ignores a break here",
    "closed_day": "the old system ignores here that it is closed",
    "outside_hours": "the old system offers a time outside working hours",
    "past_closing": "the old system offers past closing",
    "buffers_ignored": "the old system ignores buffers here",
    "travel_ignored": "the old system leaves no time to travel here",
    "day_limit_ignored": "the old system books more on a day than this person takes",
    "compact_ignored": "the old system offers what a compact schedule leaves out",
    "off_grid": "the old system has a start here that is none of ours",
    "too_late": "the old system takes bookings at shorter notice",
    "beyond_horizon": "the old system takes bookings further ahead",
    "held": "somebody is booking it here right now",
    # Offered here and not there, by what is offered there otherwise.
    "old_not_offered": "the old system offers this of this person at no time on these dates",
    "old_hours": "the old system's day begins later or ends earlier",
    "old_grid": "the old system's starts are further apart, or counted from elsewhere",
    "old_break": "the old system never offers this time of day, as if there were a break",
    "old_has_it_taken": "the old system leaves a gap here, as if the time were taken",
    "unexplained": "the old system offers all of this time, but not this start",
    # Either.
    "queued": "the calendar waits to be published anew, so what is published is older",
    "stale": "what is published is not what the calculator says: pgbooking verify tells more",
}

# On so many days a time of day must be left out, and on none offered, to look like a break.
DAYS_OF_A_BREAK = 3

Key = tuple[UUID, Hashable]


@dataclass
class _Days:
    """What is offered of one person and one service, at one place or just anywhere."""

    starts: dict[date, set[datetime]] = field(default_factory=dict)
    _sorted: dict[date, list[datetime]] = field(default_factory=dict)
    _step: timedelta | None = None
    _has_step: bool = False

    def day(self, day: date) -> list[datetime]:
        if day not in self._sorted:
            self._sorted[day] = sorted(self.starts.get(day, ()))
        return self._sorted[day]

    @property
    def step(self) -> timedelta | None:
        """The smallest distance of two starts of a day."""
        if not self._has_step:
            self._has_step = True
            self._step = min(
                (
                    later - earlier
                    for day in self.starts
                    for earlier, later in zip(self.day(day), self.day(day)[1:], strict=False)
                ),
                default=None,
            )
        return self._step


class OldStarts:
    """The other system's starts, in local time, as evidence of how it works."""

    def __init__(self) -> None:
        self.placed: dict[Key, dict[UUID | None, _Days]] = {}
        self.joined: dict[tuple[Key, UUID], _Days] = {}
        self.breaks: dict[tuple[Key, UUID, time], bool] = {}

    def add(
        self, staff_id: UUID, offer: Hashable, location_id: UUID | None, local: datetime
    ) -> None:
        """All must be added before the first question."""
        days = self.placed.setdefault((staff_id, offer), {}).setdefault(location_id, _Days())
        days.starts.setdefault(local.date(), set()).add(local)

    def cause_of(
        self,
        staff_id: UUID,
        offer: Hashable,
        location_id: UUID,
        local: datetime,
        duration: timedelta,
    ) -> tuple[str, str | None]:
        """Why it may not offer that start, as far as its other starts tell; and a sentence."""
        key = (staff_id, offer)
        days = self._days(key, location_id)
        if not days.starts:
            return "old_not_offered", None
        offered = days.day(local.date())
        if not offered:
            return "old_hours", "It has no start at all that day."
        if _covers(offered, days.step, local, local + duration):
            return self._between_starts(offered, days.step, local)
        if local < offered[0]:
            return "old_hours", f"Its first start that day is {offered[0]:%H:%M}."
        if local > offered[-1]:
            return "old_hours", f"Its last start that day is {offered[-1]:%H:%M}."
        before, after = _neighbours(offered, local)
        gap = f"It has none between {before:%H:%M} and {after:%H:%M}."
        if self._is_break(key, location_id, local.timetz().replace(tzinfo=None)):
            return "old_break", gap
        return "old_has_it_taken", gap

    def _between_starts(
        self, offered: list[datetime], step: timedelta | None, local: datetime
    ) -> tuple[str, str | None]:
        before, _ = _neighbours(offered, local)
        if step and (local - before) % step:
            minutes = int(step.total_seconds() // 60)
            return "old_grid", f"They are {minutes} min apart there, one at {before:%H:%M}."
        return "unexplained", None

    def _days(self, key: Key, location_id: UUID) -> _Days:
        if (key, location_id) not in self.joined:
            joined = _Days()
            for place, days in self.placed.get(key, {}).items():
                if place in {None, location_id}:
                    for day, starts in days.starts.items():
                        joined.starts.setdefault(day, set()).update(starts)
            self.joined[key, location_id] = joined
        return self.joined[key, location_id]

    def _is_break(self, key: Key, location_id: UUID, clock: time) -> bool:
        """Whether that time of day is left out on every day that has starts before and after."""
        known = (key, location_id, clock)
        if known not in self.breaks:
            days = self._days(key, location_id)
            clocks = [[start.time() for start in days.day(day)] for day in days.starts]
            around = [each for each in clocks if each[0] < clock < each[-1]]
            self.breaks[known] = len(around) >= DAYS_OF_A_BREAK and not any(
                clock in each for each in around
            )
        return self.breaks[known]


def _neighbours(offered: list[datetime], local: datetime) -> tuple[datetime, datetime]:
    number = bisect_right(offered, local)
    return offered[max(number - 1, 0)], offered[min(number, len(offered) - 1)]


def _covers(
    offered: list[datetime], step: timedelta | None, start: datetime, end: datetime
) -> bool:
    """Whether it offers all of the time from start to end, from one start to the next."""
    length = max(end - start, step or timedelta(0))
    reached = start
    for each in offered:
        if each > reached:
            break
        reached = max(reached, each + length)
    return reached >= end
