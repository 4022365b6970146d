"""A token is signed, and what stands in app_metadata.tenants may be anything all the same: whatever
is no membership gives nothing, and raises nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.api import Api, Caller
from tests.rls.acting import run
from tests.rls.twins import SCHEDULES, WRITTEN, Twins, twins
from tests.salon import TEN

__all__ = ["twins"]

SOMEBODY = UUID("00000000-0000-4000-8000-000000000001")


def claims(tenant: str, person: str, other_person: str) -> dict[str, Any]:
    """What stands in the token, by what is wrong with it."""
    admin = {"role": "admin", "staff_id": None}
    return {
        "no app_metadata": {},
        "app_metadata null": {"app_metadata": None},
        "app_metadata a string": {"app_metadata": "admin"},
        "app_metadata a list": {"app_metadata": [{"tenants": {tenant: admin}}]},
        "tenants beside app_metadata": {"tenants": {tenant: admin}},
        "user_metadata": {"user_metadata": {"tenants": {tenant: admin}}},
        "a role of its own": {"app_metadata": {"role": "service_role", "tenant_id": tenant}},
    } | {
        name: {"app_metadata": {"tenants": tenants}}
        for name, tenants in {
            "null": None,
            "a string": tenant,
            "a number": 1,
            "true": True,
            "a list of ids": [tenant],
            "a list of objects": [{tenant: admin}],
            "a list of pairs": [[tenant, admin]],
            "nested": {"tenants": {tenant: admin}},
            "an empty key": {"": admin},
            "no uuid": {"everything": admin, "*": admin, "%": admin, "null": admin},
            "nearly a uuid": {tenant + " ": admin, tenant[:-1]: admin, f"{{{tenant}}}": admin},
            "another tenant": {str(uuid4()): admin},
            "no membership": {tenant: None},
            "a string as membership": {tenant: "admin"},
            "a list as membership": {tenant: ["admin"]},
            "a number as membership": {tenant: 7},
            "no role": {tenant: {"staff_id": person}},
            "role null": {tenant: {"role": None, "staff_id": person}},
            "role owner": {tenant: {"role": "owner", "staff_id": person}},
            "role service_role": {tenant: {"role": "service_role"}},
            "role ADMIN": {tenant: {"role": "ADMIN"}},
            "a list of roles": {tenant: {"role": ["admin", "staff"], "staff_id": person}},
            "an object as role": {tenant: {"role": {"admin": True}}},
            "many": {str(uuid4()): admin for _ in range(1_000)},
        }.items()
    }


def test_what_is_no_membership_gives_nothing(twins: Twins) -> None:
    tenant = str(twins.own.tenant)
    for name, content in claims(tenant, str(twins.own.person), str(twins.colleague)).items():
        caller = Caller("authenticated", {"sub": str(SOMEBODY), **content})
        for view in WRITTEN:
            result = run(twins.db, caller, f"select * from {view}")
            assert (result.state, result.rows) == ("00000", 0), (name, view)
        for view in SCHEDULES:
            for statement in (f"delete from {view}", f"update {view} set start_time = start_time"):
                result = run(twins.db, caller, statement)
                assert (result.state, result.rows) == ("00000", 0), (name, statement)
        assert insert_break(twins, caller, twins.own.person) == "42501", name
        assert codes(twins, caller) == {"not_found"}, name


@pytest.mark.parametrize(
    "staff_id",
    [None, "", "x", 1, True, [], {}, ["<person>"], {"id": "<person>"}, " <person>", "<person>x"],
)
def test_staff_who_are_no_person_read_and_write_nothing(twins: Twins, staff_id: Any) -> None:
    person = str(twins.own.person)
    if isinstance(staff_id, str):
        staff_id = staff_id.replace("<person>", person)
    elif staff_id in (["<person>"], {"id": "<person>"}):
        staff_id = [person] if isinstance(staff_id, list) else {"id": person}
    membership = {"role": "staff", "staff_id": staff_id}
    caller = Caller(
        "authenticated", {"app_metadata": {"tenants": {str(twins.own.tenant): membership}}}
    )
    for view in WRITTEN:
        assert run(twins.db, caller, f"select * from {view}").rows > 0, "staff they are"
    for view in SCHEDULES:
        for statement in (f"delete from {view}", f"update {view} set start_time = start_time"):
            result = run(twins.db, caller, statement)
            assert (result.state, result.rows) == ("00000", 0)
    for whom in (twins.own.person, twins.colleague, None):
        assert insert_break(twins, caller, whom) == "42501"


def test_the_staff_id_of_another_tenants_person_writes_nothing(twins: Twins) -> None:
    caller = Caller(
        "authenticated",
        {
            "app_metadata": {
                "tenants": {
                    str(twins.own.tenant): {
                        "role": "staff",
                        "staff_id": str(twins.only_other_person),
                    }
                }
            }
        },
    )
    for whom in (twins.own.person, twins.colleague, None):
        assert insert_break(twins, caller, whom) == "42501"
    # In name it is their own calendar, in which nobody is.
    assert insert_break(twins, caller, twins.only_other_person) != "00000"


@pytest.mark.parametrize(
    "subject", [None, "", "admin", "0", 7, [], {}, "' or true --", "x" * 10_000]
)
def test_a_subject_that_is_no_user_is_nobody(twins: Twins, subject: Any) -> None:
    caller = Caller("authenticated", {"sub": subject})
    assert run(twins.db, caller, "select * from appointments").rows == 0
    assert codes(twins, caller) <= {"not_found", "not_authenticated"}


def test_capital_letters_in_an_id_do_no_harm(twins: Twins) -> None:
    membership = {"role": "admin", "staff_id": None}
    tenants = {str(twins.own.tenant).upper(): membership}
    caller = Caller("authenticated", {"app_metadata": {"tenants": tenants}})
    for view in WRITTEN:
        result = run(twins.db, caller, f"select * from {view}")
        assert result.state == "00000"
        assert str(twins.other) not in result.text


def insert_break(twins: Twins, caller: Caller, person: UUID | None) -> str:
    """SQLSTATE of an attempt."""
    return run(
        twins.db,
        caller,
        "insert into breaks (tenant_id, staff_id, start_time, end_time)"
        " values (%s, %s, '10:00', '10:15')",
        (twins.own.tenant, person),
    ).state


def codes(twins: Twins, caller: Caller) -> set[str | None]:
    """What the functions for members say."""
    person = {"tenant_id": twins.own.tenant, "staff_id": twins.own.person}
    api = Api(twins.db)
    found = set()
    for function, arguments in (
        ("explain_availability", person | {"at": TEN}),
        ("set_working_hours", person | {"hours": []}),
        ("cancel_appointment", {"appointment_id": twins.only_other_appointment}),
    ):
        try:
            found.add(api.call(function, caller, **arguments).code)
        except psycopg.Error as error:
            found.add(error.sqlstate)
    return found
