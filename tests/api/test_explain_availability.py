"""explain_availability: each rule's sentence and the rows behind it, and who may ask."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.api import ANON, SERVICE, Caller, member
from tests.booking.booked import (
    ADA,
    OTHER_SESSION,
    add_service,
    admin_of,
    book,
    call,
    reserve,
    slot_at,
    staff_of,
)
from tests.salon import TEN, Salon, make_salon, set_clock

RULES = [
    "active",
    "working_time",
    "starts",
    "fit",
    "free",
    "day_limit",
    "compact",
    "bookable",
    "not_held",
]

Candidates = list[dict[str, Any]]


def at(clock: str, day: int = 3) -> datetime:
    """A time of day in Berlin, on Tuesday, 3 March 2026, or another day before the 29th."""
    return datetime.fromisoformat(f"2026-03-{day:02}T{clock}+01:00")


def explain(
    salon: Salon, start: datetime = TEN, code: str | None = "cut", person: UUID | None = None
) -> Candidates:
    """What an admin is told of each candidate."""
    answer = call(
        salon,
        "explain_availability",
        admin_of(salon),
        tenant_id=salon.tenant,
        staff_id=person or salon.person,
        at=start,
        appointment_type=code,
    )
    assert answer.status == 200, answer
    assert answer.success
    candidates: Candidates = answer.body["candidates"]
    return candidates


def only_candidate(salon: Salon, start: datetime = TEN, code: str = "cut") -> dict[str, Any]:
    """The one place and kind of slot that there is."""
    (candidate,) = explain(salon, start, code)
    assert [rule["rule"] for rule in candidate["rules"]] == RULES
    assert candidate["is_available"] == all(rule["passed"] for rule in candidate["rules"])
    return candidate


def verdict(
    salon: Salon, rule: str, start: datetime = TEN, code: str = "cut"
) -> tuple[bool | None, str]:
    """What a rule says, and its sentence."""
    candidate = only_candidate(salon, start, code)
    found = candidate["rules"][RULES.index(rule)]
    return found["passed"], found["message"]


def evidence(
    salon: Salon, rule: str, start: datetime = TEN, code: str = "cut"
) -> list[tuple[str, UUID]]:
    """The rows behind a rule."""
    candidate = only_candidate(salon, start, code)
    rows = candidate["rules"][RULES.index(rule)]["evidence"]
    return [(row["table"], UUID(row["id"])) for row in rows]


def failing(salon: Salon, start: datetime = TEN, code: str = "cut") -> list[str]:
    """The rules that say no."""
    rules = only_candidate(salon, start, code)["rules"]
    return [rule["rule"] for rule in rules if rule["passed"] is False]


def set_tenant(salon: Salon, settings: str) -> None:
    salon.db.execute(
        f"update booking.tenants set {settings} where id = %s".encode(), (salon.tenant,)
    )


# A case for each rule


def test_a_free_time_passes_every_rule(salon: Salon) -> None:
    candidate = only_candidate(salon)
    assert candidate["is_available"]
    assert [rule["message"] for rule in candidate["rules"]] == [
        "Ada offers Cut.",
        "Ada works at Mitte: Tue 3 Mar 2026, 09:00 to 17:00.",
        "Starts are 15 min apart, counted from each beginning of working time. This is one.",
        "It ends Tue 3 Mar 2026, 10:30, in working time.",
        "Nothing else, buffers included: Tue 3 Mar 2026, 10:00 to 10:30.",
        "Ada has no limit of appointments a day.",
        "Ada does not keep a compact schedule.",
        "It can be booked before Tue 3 Mar 2026, 10:00.",
        "Nobody is booking it right now.",
    ]
    assert (candidate["location_name"], candidate["timezone"], candidate["local_time"]) == (
        "Mitte",
        "Europe/Berlin",
        "2026-03-03T10:00:00",
    )
    assert UUID(candidate["slot_id"]) == slot_at(salon)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("update booking.tenants set is_active = false", "Salon is inactive."),
        ("update booking.staff set is_active = false", "Ada is inactive."),
        ("update booking.locations set is_active = false", "Mitte is inactive."),
        (
            "update booking.appointment_types set is_active = false where code = 'cut'",
            "Cut is inactive.",
        ),
        (
            "delete from booking.staff_appointment_types o using booking.appointment_types t"
            " where t.id = o.appointment_type_id and t.code = 'cut'",
            "Ada does not offer Cut.",
        ),
    ],
)
def test_what_is_inactive_or_not_offered_is_named(
    salon: Salon, statement: str, sentence: str
) -> None:
    salon.db.execute(statement.encode())
    assert verdict(salon, "active") == (False, sentence)
    assert failing(salon) == ["active"]
    assert verdict(salon, "starts") == (None, "Not asked, because of another rule.")
    assert len(evidence(salon, "active")) == 1


def test_a_service_that_is_not_offered_fails_though_another_has_the_same_slots(
    salon: Salon,
) -> None:
    salon.insert("appointment_types", code="beard", name="Beard", duration_minutes=30)
    assert verdict(salon, "active", code="beard") == (False, "Ada does not offer Beard.")
    assert verdict(salon, "starts", code="beard")[0] is True
    assert not only_candidate(salon, code="beard")["is_available"]


def test_services_with_the_same_slots_are_one_candidate(salon: Salon) -> None:
    add_service(salon, "beard")
    assert [each["appointment_types"] for each in explain(salon, code=None)] == [
        ["beard", "cut"],
        ["course"],
    ]


def test_a_break_at_lunch(salon: Salon) -> None:
    lunch = salon.insert("breaks", start_time="12:00", end_time="13:00")
    noon = at("12:15")
    assert verdict(salon, "working_time", noon) == (False, "Break: Tue 3 Mar 2026, 12:00 to 13:00.")
    assert evidence(salon, "working_time", noon) == [("breaks", lunch)]
    assert failing(salon, noon) == ["working_time"]


def test_a_holiday_with_its_note(salon: Salon) -> None:
    holiday = salon.insert(
        "schedule_exceptions",
        kind="closed",
        first_date="2026-03-03",
        last_date="2026-03-04",
        note="Spring cleaning",
    )
    assert verdict(salon, "working_time") == (
        False,
        "Closed: Tue 3 Mar 2026, 00:00 to Wed 4 Mar 2026, 00:00 (Spring cleaning).",
    )
    assert evidence(salon, "working_time") == [("schedule_exceptions", holiday)]


def test_hours_of_that_day_are_told_when_they_are_others(salon: Salon) -> None:
    salon.insert("breaks", start_time="12:00", end_time="13:00")
    assert verdict(salon, "working_time", at("20:00")) == (
        False,
        "Ada does not work at Mitte then. Working time that day: 09:00 to 12:00, 13:00 to 17:00.",
    )
    assert evidence(salon, "working_time", at("20:00")) == []


def test_an_open_exception_took_the_place_of_the_weekly_hours(salon: Salon) -> None:
    opened = salon.insert(
        "schedule_exceptions",
        kind="open",
        first_date="2026-03-03",
        last_date="2026-03-03",
        start_time="18:00",
        end_time="21:00",
    )
    assert verdict(salon, "working_time") == (
        False,
        "Ada does not work at Mitte then. Working time that day: 18:00 to 21:00.",
    )
    assert evidence(salon, "working_time") == [("schedule_exceptions", opened)]
    assert evidence(salon, "working_time", at("18:30")) == [("schedule_exceptions", opened)]


def test_a_day_without_hours(salon: Salon) -> None:
    salon.db.execute("delete from booking.working_hours where weekday = 2")
    assert verdict(salon, "working_time") == (
        False,
        "Ada does not work at Mitte then. Working time that day: none.",
    )


@pytest.mark.parametrize(
    ("alignment", "sentence"),
    [
        (
            "window",
            "Starts are 15 min apart, counted from each beginning of working time. This is none; "
            "the nearest: Tue 3 Mar 2026, 10:00 and Tue 3 Mar 2026, 10:15.",
        ),
        (
            "clock",
            "Starts are 15 min apart, counted from midnight. This is none; "
            "the nearest: Tue 3 Mar 2026, 10:00 and Tue 3 Mar 2026, 10:15.",
        ),
        (
            "gapless",
            "Starts are 15 min apart, counted from each beginning of working time and each end of "
            "an appointment or a busy time. This is none; "
            "the nearest: Tue 3 Mar 2026, 10:05 and Tue 3 Mar 2026, 10:20.",
        ),
    ],
)
def test_off_the_grid(salon: Salon, alignment: str, sentence: str) -> None:
    set_tenant(salon, f"slot_alignment = '{alignment}'")
    salon.insert("busy_times", staff_id=salon.person, start_time=at("09:00"), end_time=at("09:05"))
    assert verdict(salon, "starts", at("10:07")) == (False, sentence)
    assert failing(salon, at("10:07")) == ["starts"]


def test_off_a_grid_that_has_no_start_that_day(salon: Salon) -> None:
    """What is left of the day, 09:00 to 17:00, is too short for any start by the clock."""
    add_service(salon, "course-of-a-day", duration_minutes=450, slot_step_minutes=1440)
    set_tenant(salon, "slot_alignment = 'clock'")
    assert verdict(salon, "starts", at("09:00"), "course-of-a-day") == (
        False,
        "Starts are 1440 min apart, counted from midnight. There is none that day.",
    )


def test_a_class_that_others_come_to_keeps_its_time(salon: Salon) -> None:
    salon.insert("appointments", **salon.slot(salon.course))
    salon.db.execute("update booking.appointment_types set slot_step_minutes = 50")
    assert verdict(salon, "starts", TEN, "course") == (
        True,
        "Others come to this class, so it keeps its time.",
    )
    assert verdict(salon, "free", TEN, "course") == (True, "1 of 10 places are taken.")


def test_too_long_for_what_is_left(salon: Salon) -> None:
    late = at("16:30")
    assert verdict(salon, "fit", late, "course") == (
        False,
        "It would end Tue 3 Mar 2026, 17:30, but working time ends Tue 3 Mar 2026, 17:00.",
    )
    assert [table for table, _ in evidence(salon, "fit", late, "course")] == ["working_hours"]
    assert failing(salon, late, "course") == ["fit"]


def test_too_long_before_a_break(salon: Salon) -> None:
    lunch = salon.insert("breaks", start_time="12:00", end_time="13:00")
    assert evidence(salon, "fit", at("11:45")) == [("breaks", lunch)]


def test_another_appointment_with_its_buffers(salon: Salon) -> None:
    appointment = salon.appointment(at("10:40"), buffer_before_minutes=15, buffer_after_minutes=5)
    assert verdict(salon, "free") == (
        False,
        "Another appointment, buffers included: Tue 3 Mar 2026, 10:25 to 11:15.",
    )
    assert evidence(salon, "free") == [("appointments", appointment)]
    assert failing(salon) == ["free"]


def test_ones_own_buffers_need_room_too(salon: Salon) -> None:
    add_service(salon, "perm", buffer_before_minutes=10, buffer_after_minutes=20)
    assert verdict(salon, "free", TEN, "perm") == (
        True,
        "Nothing else, buffers included: Tue 3 Mar 2026, 09:50 to 10:50.",
    )
    salon.appointment(at("10:45"))
    assert verdict(salon, "free", TEN, "perm")[0] is False


def test_busy_times(salon: Salon) -> None:
    busy = [
        salon.insert(
            "busy_times", staff_id=salon.person, start_time=at(start), end_time=at("11:00")
        )
        for start in ("10:00", "10:20")
    ]
    assert verdict(salon, "free") == (False, "Busy: Tue 3 Mar 2026, 10:00 to 11:00, and 1 more.")
    assert evidence(salon, "free") == [("busy_times", row) for row in busy]


def test_a_class_that_is_full(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    attendees = [salon.insert("appointments", **salon.slot(salon.course)) for _ in range(2)]
    assert verdict(salon, "free", TEN, "course") == (False, "All 2 places are taken.")
    assert {row for _, row in evidence(salon, "free", TEN, "course")} == set(attendees)


def test_too_late(salon: Salon) -> None:
    set_clock(salon.db, "2026-03-03 10:00+01")
    assert verdict(salon, "bookable") == (
        False,
        "Too late: it had to be booked before Tue 3 Mar 2026, 10:00.",
    )
    assert failing(salon) == ["bookable"]


def test_too_late_for_the_notice(salon: Salon) -> None:
    set_tenant(salon, "min_notice_minutes = 120")
    set_clock(salon.db, "2026-03-03 09:00+01")
    assert verdict(salon, "bookable") == (
        False,
        "Too late: it had to be booked before Tue 3 Mar 2026, 08:00, 120 min ahead.",
    )


def test_too_early(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set max_advance_days = 2")
    assert verdict(salon, "bookable", at("10:00", day=5)) == (
        False,
        "Too early: it can be booked from Tue 3 Mar 2026, 10:00 on, 2 days ahead.",
    )
    assert failing(salon, at("10:00", day=5)) == ["bookable"]


def test_beyond_the_horizon(salon: Salon) -> None:
    assert failing(salon, at("10:00", day=12)) == []
    assert verdict(salon, "bookable", at("10:00", day=13)) == (
        False,
        "Too early: bookings are taken up to Thu 12 Mar 2026, 10 days ahead.",
    )
    assert failing(salon, at("10:00", day=13)) == ["bookable"]


def test_held_by_somebody(salon: Salon) -> None:
    reserve(salon, slot_at(salon), OTHER_SESSION)
    for start in (TEN, at("10:15")):
        assert verdict(salon, "not_held", start) == (
            False,
            "Somebody is booking it right now and holds it until Mon 2 Mar 2026, 07:10.",
        )
        ((table, _),) = evidence(salon, "not_held", start)
        assert table == "slot_reservations"
        assert failing(salon, start) == ["not_held"]
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert failing(salon) == []


def test_a_held_class_has_room_while_places_are_left(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    slot = slot_at(salon, type_id=salon.course)
    reserve(salon, slot, OTHER_SESSION, appointment_type="course")
    assert failing(salon, TEN, "course") == []
    reserve(salon, slot, "a-third-session-0123456789", appointment_type="course")
    assert failing(salon, TEN, "course") == ["not_held"]


def test_several_rules_can_say_no(salon: Salon) -> None:
    salon.appointment()
    set_clock(salon.db, "2026-03-03 12:00+01")
    assert failing(salon, at("10:07")) == ["starts", "free", "bookable"]


# Places, people, and what is published


def test_each_place_is_explained_by_its_own_clocks(salon: Salon) -> None:
    away = salon.insert("locations", name="Lisboa", timezone="Europe/Lisbon")
    salon.insert(
        "working_hours",
        staff_id=salon.person,
        location_id=away,
        weekday=2,
        start_time="08:00",
        end_time="12:00",
    )
    lisboa, mitte = explain(salon)
    assert (lisboa["location_name"], lisboa["local_time"]) == ("Lisboa", "2026-03-03T09:00:00")
    assert (mitte["location_name"], mitte["local_time"]) == ("Mitte", "2026-03-03T10:00:00")
    assert lisboa["rules"][1]["message"] == "Ada works at Lisboa: Tue 3 Mar 2026, 08:00 to 12:00."


def test_a_person_without_hours_has_no_candidate(salon: Salon) -> None:
    cem = salon.insert("staff", display_name="Cem")
    assert explain(salon, person=cem, code=None) == []


def test_a_calendar_in_the_queue_is_said_to_be(salon: Salon) -> None:
    salon.db.execute(
        "insert into booking.refresh_queue (tenant_id, staff_id, reason) values (%s, %s, 'test')",
        (salon.tenant, salon.person),
    )
    answer = call(
        salon,
        "explain_availability",
        admin_of(salon),
        tenant_id=salon.tenant,
        staff_id=salon.person,
        at=TEN,
    )
    assert answer.body["is_queued"] is True


def test_the_customer_of_an_appointment_is_not_named(salon: Salon) -> None:
    book(salon)
    answer = call(
        salon,
        "explain_availability",
        staff_of(salon),
        tenant_id=salon.tenant,
        staff_id=salon.person,
        at=TEN,
    )
    assert "Lovelace" not in str(answer.body)
    assert "example.org" not in str(answer.body)


# Who may ask


def test_staff_admins_and_the_service_may_ask(salon: Salon) -> None:
    colleague = salon.add_person()
    for caller in (staff_of(salon), staff_of(salon, colleague), admin_of(salon), SERVICE):
        answer = call(
            salon,
            "explain_availability",
            caller,
            tenant_id=salon.tenant,
            staff_id=salon.person,
            at=TEN,
        )
        assert (answer.status, answer.body["staff_name"]) == (200, "Ada")


def test_customers_and_strangers_are_told_that_there_is_nobody(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    book(salon, caller=ADA)
    callers = (
        ADA,
        Caller("authenticated", {"sub": str(uuid4())}),
        staff_of(neighbour),
        admin_of(neighbour),
        # Being staff elsewhere, and naming a person of this tenant.
        member(uuid4(), neighbour.tenant, "admin", salon.person),
        Caller(
            "authenticated",
            {
                "sub": str(uuid4()),
                "user_metadata": {"tenants": {str(salon.tenant): {"role": "admin"}}},
            },
        ),
    )
    for caller in callers:
        for code in (None, "cut", "nothing of the kind"):
            answer = call(
                salon,
                "explain_availability",
                caller,
                tenant_id=salon.tenant,
                staff_id=salon.person,
                at=TEN,
                appointment_type=code,
            )
            assert answer.status == 404
            assert answer.body == {
                "success": False,
                "code": "not_found",
                "message": "There is no such person.",
                "details": None,
                "hint": None,
            }


@pytest.mark.parametrize("whose", ["nobody's", "the neighbour's"])
def test_missing_and_foreign_people_look_alike(salon: Salon, whose: str) -> None:
    person = make_salon(salon.db).person if whose == "the neighbour's" else uuid4()
    answer = call(
        salon,
        "explain_availability",
        admin_of(salon),
        tenant_id=salon.tenant,
        staff_id=person,
        at=TEN,
    )
    assert (answer.status, answer.body["message"]) == (404, "There is no such person.")


def test_anon_has_no_right_to_call_it(salon: Salon) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        call(
            salon,
            "explain_availability",
            ANON,
            tenant_id=salon.tenant,
            staff_id=salon.person,
            at=TEN,
        )


# Bad input


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"tenant_id": None}, "tenant_id is missing; expected the id of a tenant."),
        ({"staff_id": None}, "staff_id is missing; expected the id of a person."),
        ({"at": None}, "at is missing; expected a time."),
        ({"at": "infinity"}, "at is infinity; expected a time in the years 1900 to 9999."),
        (
            {"appointment_type": "perm"},
            'appointment_type is "perm"; expected the code of one of this tenant\'s services.',
        ),
    ],
)
def test_bad_input_is_one_sentence(
    salon: Salon, arguments: dict[str, object], sentence: str
) -> None:
    asked = {"tenant_id": salon.tenant, "staff_id": salon.person, "at": TEN} | arguments
    answer = call(salon, "explain_availability", admin_of(salon), **asked)
    assert (answer.status, answer.code, answer.body["message"]) == (
        400,
        "invalid_request",
        sentence,
    )


@pytest.mark.parametrize("start", ["1900-01-01T00:00+00:00", "9999-12-30T23:59+00:00"])
def test_the_ends_of_time_are_answered(salon: Salon, start: str) -> None:
    assert verdict(salon, "bookable", datetime.fromisoformat(start))[0] is False
