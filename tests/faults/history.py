"""A history of calls, and whether it can be true.

Clients write down each call: when it began and ended by the machine's clock, and what they were
told. What it did happened at one moment between the two. `violations` reads that as a sequential
model: a hold or an appointment takes its time from one moment to another, each of which lies
between two instants. What is true wherever they lie is certain, what is true somewhere is possible.

    reserve   takes the slot until it is released, booked, moved to or expires
    book      needs its own hold, and takes the time until it is moved or cancelled
    move      gives back one time and takes another
              (with each of these, the session's own holds that are in the way end)
    cut off   has happened, or not, or does so any time later

Nobody else writes: no hours, no busy times, no hands. So every refusal has its reason in the
history, too, and a slot that nothing can stand in the way of has to be shown.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path

SUCCESS, CUT_OFF = "success", "cut off"
# Refusals that have nothing to do with the slot: nothing was done.
NOT_DONE = {"busy", "timeout", "rate_limited"}
MOST_HOLDS = 3
# When a hold ends is told in whole seconds.
ROUNDED = 1.0


@dataclass(frozen=True)
class Slot:
    """What can be had; times in seconds since 1970."""

    id: str
    staff: str
    code: str
    start: float
    claim_start: float
    claim_end: float
    capacity: int

    def excludes(self, other: Slot) -> bool:
        """Whether not both can be had; a class is shared."""
        return (
            self.staff == other.staff
            and self.claim_start < other.claim_end
            and other.claim_start < self.claim_end
            and not (self.id == other.id and self.capacity > 1)
        )

    def replaces(self, other: Slot) -> bool:
        """Whether one's own hold on the other ends where one takes this."""
        return self == other or self.excludes(other)


@dataclass(frozen=True)
class Call:
    """A call as its client saw it. A read asks for slots of one person, and perhaps of one type,
    and is shown some."""

    client: int
    function: str
    session: str
    began: float
    ended: float
    outcome: str
    slot: str | None = None
    appointment: str | None = None
    expires_at: float = inf
    staff: str | None = None
    code: str | None = None
    shown: frozenset[str] = frozenset()


@dataclass
class Claim:
    """Time taken, and the earliest and latest instants at which it begins and ends."""

    slot: Slot
    session: str
    appointment: str | None
    begins: tuple[float, float]
    ends: tuple[float, float] = (inf, inf)

    def is_certain(self, began: float, ended: float) -> bool:
        """Whether it is there all the time."""
        return self.begins[1] <= began and ended <= self.ends[0]

    def is_possible(self, began: float, ended: float) -> bool:
        """Whether it may be there at some moment."""
        return self.begins[0] <= ended and began <= self.ends[1]

    def end(self, call: Call) -> None:
        """It ends by this call, or may."""
        latest = call.ended if call.outcome == SUCCESS else inf
        self.ends = (min(self.ends[0], call.began), min(self.ends[1], latest))


@dataclass
class _Sweep:
    """The claims of a history, put together call by call."""

    slots: dict[str, Slot]
    hold_seconds: float
    claims: list[Claim] = field(default_factory=list)
    holds: dict[str, list[Claim]] = field(default_factory=lambda: defaultdict(list))
    appointments: dict[str, list[Claim]] = field(default_factory=lambda: defaultdict(list))

    def read(self, call: Call) -> None:
        """What the call changes, if it was done or may have been."""
        if call.outcome not in {SUCCESS, CUT_OFF} or call.function == "read":
            return
        begins = (call.began, call.ended if call.outcome == SUCCESS else inf)
        slot = self.slots[call.slot] if call.slot else None
        own = self.holds[call.session]
        in_the_way = [each for each in own if slot and slot.replaces(each.slot)]
        if call.function == "cancel_appointment":
            assert call.appointment
            self._end(call, self.appointments[call.appointment])
        elif call.function == "release_slot":
            self._end(call, [each for each in own if each.slot == slot])
        elif call.function == "reserve_slot":
            assert slot
            self._end(call, in_the_way)
            ends = (call.expires_at - ROUNDED, call.expires_at + ROUNDED)
            if call.outcome == CUT_OFF:
                ends = (call.began, call.ended + self.hold_seconds + ROUNDED)
            self._add(Claim(slot, call.session, None, begins, ends), own)
        else:
            assert slot and call.appointment
            self._end(call, [*in_the_way, *self.appointments[call.appointment]])
            claim = Claim(slot, call.session, call.appointment, begins)
            self._add(claim, self.appointments[call.appointment])

    def _add(self, claim: Claim, to: list[Claim]) -> None:
        to.append(claim)
        self.claims.append(claim)

    @staticmethod
    def _end(call: Call, claims: list[Claim]) -> None:
        for claim in claims:
            claim.end(call)


def claims_of(slots: Iterable[Slot], calls: Iterable[Call], hold_seconds: float) -> list[Claim]:
    """What was taken, in the order in which the calls began."""
    sweep = _Sweep({slot.id: slot for slot in slots}, hold_seconds)
    for call in sorted(calls, key=lambda each: each.began):
        sweep.read(call)
    return sweep.claims


def violations(slots: Iterable[Slot], calls: Iterable[Call], hold_seconds: float) -> Iterator[str]:
    """What cannot have been so."""
    by_id = {slot.id: slot for slot in slots}
    by_staff = defaultdict(list)
    for slot in by_id.values():
        by_staff[slot.staff].append(slot)
    claims = claims_of(by_id.values(), calls, hold_seconds)
    yield from _taken_twice(claims)

    coming = sorted(claims, key=lambda each: each.begins[0], reverse=True)
    around: dict[str, list[Claim]] = defaultdict(list)
    for number, call in enumerate(sorted(calls, key=lambda each: each.began)):
        while coming and coming[-1].begins[0] <= call.ended:
            claim = coming.pop()
            around[claim.slot.staff].append(claim)
        if number % 64 == 0:
            for staff, those in around.items():
                around[staff] = [each for each in those if each.ends[1] >= call.began]
        if call.function == "read":
            assert call.staff
            asked = [each for each in by_staff[call.staff] if call.code in {None, each.code}]
            yield from _wrongly_shown(call, asked, around[call.staff])
        elif call.slot:
            slot = by_id[call.slot]
            yield from _wrongly_answered(call, slot, around[slot.staff], around)


def _taken_twice(claims: Iterable[Claim]) -> Iterator[str]:
    live: list[Claim] = []
    certain = (each for each in claims if each.begins[1] < each.ends[0])
    for claim in sorted(certain, key=lambda each: each.begins[1]):
        live = [each for each in live if each.ends[0] > claim.begins[1]]
        for other in live:
            if claim.slot.excludes(other.slot):
                yield f"taken twice: {claim} and {other}"
        live.append(claim)
        seats = sum(each.slot == claim.slot for each in live)
        if claim.slot.capacity > 1 and seats > claim.slot.capacity:
            yield f"{seats} seats taken: {claim}"


def _wrongly_answered(
    call: Call, slot: Slot, around: list[Claim], everywhere: dict[str, list[Claim]]
) -> Iterator[str]:
    possible = [each for each in around if each.is_possible(call.began, call.ended)]
    own = [
        each
        for each in possible
        if each.session == call.session and not each.appointment and each.slot == slot
    ]
    match call.function, call.outcome:
        case "create_appointment", "success":
            if not own:
                yield f"booked without a hold: {call}"
        case "create_appointment", "reservation_expired" | "appointment_conflict":
            if any(each.is_certain(call.began, call.ended) for each in own):
                yield f"not booked, though it was held: {call}"
        case "reserve_slot" | "reschedule_appointment", "slot_taken":
            others = [
                each
                for each in possible
                if each not in own
                and (not call.appointment or each.appointment != call.appointment)
            ]
            if not any(each.slot.excludes(slot) for each in others) and slot.capacity > sum(
                each.slot == slot for each in others
            ):
                yield f"refused, though it was free: {call}"
        case "reserve_slot", "hold_limit_reached":
            held = sum(
                each.session == call.session
                and not each.appointment
                and each.is_possible(call.began, call.ended)
                for those in everywhere.values()
                for each in those
            )
            if held < MOST_HOLDS:
                yield f"refused, though it held {held}: {call}"
        case "release_slot", "not_found":
            if any(each.is_certain(call.began, call.ended) for each in own):
                yield f"not released, though it was held: {call}"
        case _, outcome if outcome not in {SUCCESS, CUT_OFF, *NOT_DONE}:
            yield f"not to be expected: {call}"


def _wrongly_shown(call: Call, asked: list[Slot], around: list[Claim]) -> Iterator[str]:
    if call.outcome != SUCCESS:
        return
    possible = [each for each in around if each.is_possible(call.began, call.ended)]
    certain = [each for each in possible if each.is_certain(call.began, call.ended)]
    for slot in asked:
        if slot.id not in call.shown:
            if not any(slot.replaces(each.slot) for each in possible):
                yield f"not shown, though free: {slot}: {call}"
            continue
        excluding = [each for each in certain if each.slot.excludes(slot)]
        sharing = [each for each in certain if each.slot == slot]
        if excluding or len(sharing) >= slot.capacity:
            yield f"shown, though taken: {slot} by {[*excluding, *sharing]}: {call}"


def save(path: Path, slots: Iterable[Slot], calls: Iterable[Call]) -> None:
    """Keep a history, to look at it again: a line of JSON each."""
    with path.open("w") as file:
        for slot in slots:
            file.write(json.dumps(asdict(slot)) + "\n")
        for call in calls:
            file.write(json.dumps(asdict(call), default=list) + "\n")
