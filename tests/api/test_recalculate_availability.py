"""recalculate_availability: puts right what has gone wrong, for the service."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Answer
from tests.booking.booked import (
    ADA,
    admin_of,
    assert_refused,
    audit_rows,
    call,
    rows,
    slot_at,
    staff_of,
)
from tests.booking.conftest import at
from tests.salon import Salon, make_salon

ALL = {"start_date": "2026-03-02", "end_date": "2026-03-31"}


def recalculate(salon: Salon, **arguments: object) -> Answer:
    """As the service does, for all days."""
    return call(
        salon,
        "recalculate_availability",
        SERVICE,
        **({"tenant_id": salon.tenant, **ALL} | arguments),
    )


DAMAGE = (
    ("10:00", "delete from booking.availability_slots"),
    ("11:00", "update booking.availability_slots set is_available = false"),
    (
        "13:00",
        "update booking.availability_slots set start_time = start_time + interval '7 minutes',"
        " end_time = end_time + interval '7 minutes'",
    ),
)
WRONG = ["extra", "missing", "missing", "wrong"]


def damage(salon: Salon, day: int = 3) -> None:
    """What no trigger sees: of each person a slot is away, one is wrong, one is off the grid."""
    with salon.db.transaction():
        salon.db.execute("set local session_replication_role = replica")
        for clock, statement in DAMAGE:
            salon.db.execute(
                f"{statement} where tenant_id = %s and start_time = %s"
                " and duration_minutes = 30".encode(),
                (salon.tenant, at(clock, day)),
            )


def kinds(salon: Salon) -> list[str]:
    """What is wrong."""
    return sorted(difference[0] for difference in salon.differences())


def test_it_repairs_what_is_missing_wrong_and_too_much(salon: Salon) -> None:
    damage(salon)
    assert kinds(salon) == WRONG
    answer = recalculate(salon)
    assert (answer.status, answer.body) == (
        200,
        {
            "success": True,
            "calendars": 1,
            "queued": 0,
            "inserted": 2,
            "updated": 1,
            "deleted": 1,
            "message": "Recalculated.",
        },
    )
    assert salon.differences() == []
    (record,) = audit_rows(salon)
    assert (record["tenant_id"], record["action"]) == (salon.tenant, "recalculate_availability")
    assert slot_at(salon)


def test_where_nothing_is_wrong_it_changes_nothing(salon: Salon) -> None:
    versions = "select id, xmin::text from booking.availability_slots"
    before = rows(salon, versions)
    answer = recalculate(salon)
    assert [answer.body[key] for key in ("inserted", "updated", "deleted")] == [0, 0, 0]
    assert rows(salon, versions) == before


def test_it_repairs_those_days_only_both_included(salon: Salon) -> None:
    for day in (3, 4, 5, 6):
        damage(salon, day=day)
    assert recalculate(salon, start_date="2026-03-04", end_date="2026-03-05").success
    wrong_days = {
        difference[1].astimezone(at("10:00").tzinfo).day for difference in salon.differences()
    }
    assert wrong_days == {3, 6}


def test_it_repairs_one_person_or_all_and_no_other_tenant(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    ben = salon.add_person("Ben")
    for hurt in (salon, neighbour):
        damage(hurt)
    assert recalculate(salon, staff_id=ben).body["calendars"] == 1
    assert kinds(salon) == WRONG
    assert recalculate(salon).body["calendars"] == 2
    assert kinds(salon) == []
    assert kinds(neighbour) == WRONG


@pytest.mark.parametrize("people", [20, 21])
def test_more_than_twenty_calendars_are_queued(salon: Salon, people: int) -> None:
    salon.db.execute(
        "insert into booking.staff (tenant_id, display_name)"
        " select %s, n::text from generate_series(2, %s) as n",
        (salon.tenant, people),
    )
    salon.db.execute("delete from booking.refresh_queue")
    damage(salon)
    answer = recalculate(salon)
    queued = rows(salon, "select reason from booking.refresh_queue")
    if people == 20:
        assert (answer.body["queued"], queued, kinds(salon)) == (0, [], [])
        return
    assert answer.body == {
        "success": True,
        "calendars": 21,
        "queued": 21,
        "message": "Queued.",
    }
    assert queued == [{"reason": "recalculation asked for"}] * 21
    salon.db.execute("call booking.drain_refresh_queue()")
    assert rows(salon, "select from booking.refresh_queue") == []
    assert kinds(salon) == []


def test_731_days_are_recalculated_and_732_are_too_many(salon: Salon) -> None:
    assert recalculate(salon, start_date="2026-01-01", end_date="2028-01-01").success
    answer = recalculate(salon, start_date="2026-01-01", end_date="2028-01-02")
    assert_refused(answer, "range_too_large", 400)


def test_another_tenants_person_is_nobody(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    answers = [recalculate(salon, staff_id=person) for person in (neighbour.person, uuid4())]
    assert_refused(answers[0], "not_found", 404)
    assert answers[0] == answers[1]


def test_it_is_the_services_alone(salon: Salon) -> None:
    damage(salon)
    for caller in (ANON, ADA, staff_of(salon), admin_of(salon)):
        with pytest.raises(errors.InsufficientPrivilege):
            call(salon, "recalculate_availability", caller, tenant_id=salon.tenant, **ALL)
    assert kinds(salon) == WRONG
    assert audit_rows(salon) == []


def test_an_unknown_tenant_is_refused(salon: Salon) -> None:
    for unknown in (uuid4(), UUID(int=0)):
        assert_refused(recalculate(salon, tenant_id=unknown), "not_found", 404)


def test_days_that_nothing_is_published_of_are_no_fault(salon: Salon) -> None:
    salon.appointment()
    answer = recalculate(salon, start_date="2027-06-01", end_date="2027-06-30")
    assert (answer.status, answer.body["inserted"], answer.body["deleted"]) == (200, 0, 0)
