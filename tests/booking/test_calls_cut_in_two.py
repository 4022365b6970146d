"""Calls under which an upgrade, or the way back, replaces functions: something that they ask for is
not there any more. They are made once more, and see one release; what is still missing is told."""

from __future__ import annotations

import pytest
from psycopg import errors

from tests.booking.booked import SESSION, audit_rows, call, holds, slot_at
from tests.salon import Salon

# By name, or by the number that a plan has kept of it.
NO_FUNCTION = "perform booking.no_more()"
NO_NUMBER = "raise 'cache lookup failed for function 37802' using errcode = 'internal_error'"


def cut_in_two(
    salon: Salon, function: str, parameters: str, times: int, how: str = NO_FUNCTION
) -> None:
    """The first calls of a worker find that a function is no more."""
    names = ", ".join(f"${number + 1}" for number in range(parameters.count(",") + 1))
    salon.db.execute("create sequence booking.calls; grant usage on booking.calls to public")
    salon.db.execute(f"alter function booking.{function}({parameters}) rename to whole".encode())
    salon.db.execute(
        f"""
        create function booking.{function}({parameters}) returns jsonb language plpgsql as $body$
        begin
          if nextval('booking.calls') <= {times} then
            {how};
          end if;
          return booking.whole({names});
        end
        $body$
        """.encode()
    )


@pytest.mark.parametrize("how", [NO_FUNCTION, NO_NUMBER])
def test_reading_is_done_once_more(salon: Salon, how: str) -> None:
    cut_in_two(salon, "get_tenant", "jsonb", times=1, how=how)
    salon.db.execute("insert into booking.tenant_slugs values ('mitte', %s)", (salon.tenant,))
    assert call(salon, "get_tenant", slug="mitte").success


@pytest.mark.parametrize("how", [NO_FUNCTION, NO_NUMBER])
def test_reserving_is_done_once_more_and_is_on_record_once(salon: Salon, how: str) -> None:
    slot = slot_at(salon)
    cut_in_two(salon, "reserve_slot", "booking.availability_slots, bytea, jsonb", times=1, how=how)
    assert call(salon, "reserve_slot", slot_id=slot, session_id=SESSION).success
    assert len(holds(salon)) == len(audit_rows(salon)) == 1


def test_what_stays_missing_is_a_fault_and_no_endless_trying(salon: Salon) -> None:
    slot = slot_at(salon)
    cut_in_two(salon, "reserve_slot", "booking.availability_slots, bytea, jsonb", times=99)
    with pytest.raises(errors.UndefinedFunction):
        call(salon, "reserve_slot", slot_id=slot, session_id=SESSION)
    assert holds(salon) == []
