"""Supabase's hook puts the memberships of booking.members into a token; nothing else counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from pgbooking.sources import sql_folder
from tests.salon import Salon, insert

USER = uuid4()
FORGED = {str(uuid4()): {"role": "admin", "staff_id": None}}


def hook(db: psycopg.Connection[Any], event: object) -> Any:
    row = db.execute("select booking.custom_access_token_hook(%s)", (Jsonb(event),)).fetchone()
    assert row is not None
    return row[0]


def tenants(db: psycopg.Connection[Any], event: dict[str, Any]) -> Any:
    return hook(db, event)["claims"]["app_metadata"]["tenants"]


def membership(salon: Salon, user: UUID = USER, role: str = "staff") -> UUID:
    staff_id = salon.person if role == "staff" else None
    return salon.insert("members", user_id=user, role=role, staff_id=staff_id)


def test_memberships_stand_in_the_token(salon: Salon) -> None:
    membership(salon)
    membership(salon, uuid4(), "admin")
    other = insert(salon.db, "tenants", name="Other", timezone="UTC")
    insert(salon.db, "members", tenant_id=other, user_id=USER, role="admin")
    event = {"user_id": str(USER), "claims": {"sub": str(USER), "role": "authenticated"}}
    assert hook(salon.db, event) == {
        "user_id": str(USER),
        "claims": {
            "sub": str(USER),
            "role": "authenticated",
            "app_metadata": {
                "tenants": {
                    str(salon.tenant): {"role": "staff", "staff_id": str(salon.person)},
                    str(other): {"role": "admin", "staff_id": None},
                }
            },
        },
    }


def test_forged_memberships_are_replaced_and_the_rest_is_kept(salon: Salon) -> None:
    membership(salon)
    true = {str(salon.tenant): {"role": "staff", "staff_id": str(salon.person)}}
    forgeries: tuple[Any, ...] = (
        FORGED,
        {str(salon.tenant): {"role": "admin"}},
        true | FORGED,
        [],
        None,
        "admin",
        {"tenants": FORGED},
    )
    for forged in forgeries:
        claims = {"app_metadata": {"tenants": forged, "provider": "email"}, "aud": "x"}
        changed = hook(salon.db, {"user_id": str(USER), "claims": claims, "more": [1]})
        assert changed == {
            "user_id": str(USER),
            "claims": {"aud": "x", "app_metadata": {"provider": "email", "tenants": true}},
            "more": [1],
        }


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"claims": None},
        {"claims": {}},
        {"claims": {"app_metadata": None}},
        {"claims": {"app_metadata": {}}},
    ],
)
def test_it_works_without_claims_and_without_app_metadata(
    salon: Salon, event: dict[str, Any]
) -> None:
    assert tenants(salon.db, event | {"user_id": str(USER)}) == {}
    membership(salon, role="admin")
    assert set(tenants(salon.db, event | {"user_id": str(USER)})) == {str(salon.tenant)}


def test_who_is_nobody_is_member_of_nothing(salon: Salon) -> None:
    membership(salon)
    for event in ({"user_id": str(uuid4())}, {"user_id": None}, {}):
        assert tenants(salon.db, event | {"claims": {"app_metadata": {"tenants": FORGED}}}) == {}


def test_what_is_revoked_is_gone_with_the_next_token(salon: Salon) -> None:
    row = membership(salon)
    assert tenants(salon.db, {"user_id": str(USER)}) != {}
    salon.db.execute("delete from booking.members where id = %s", (row,))
    assert tenants(salon.db, {"user_id": str(USER)}) == {}


def test_what_a_user_writes_about_themselves_is_ignored(salon: Salon) -> None:
    metadata = {"role": "admin", "tenants": {str(salon.tenant): {"role": "admin"}}}
    event = {"user_id": str(USER), "claims": {"user_metadata": metadata}}
    assert hook(salon.db, event)["claims"] == {
        "user_metadata": metadata,
        "app_metadata": {"tenants": {}},
    }


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role", "authenticator"])
def test_no_caller_may_call_it(salon: Salon, role: str) -> None:
    for function in ("custom_access_token_hook('{}')", "token_claims(gen_random_uuid())"):
        with pytest.raises(errors.InsufficientPrivilege), salon.db.transaction():
            salon.db.execute(f"set local role {role}".encode())
            salon.db.execute(f"select booking.{function}".encode())


def test_supabases_own_role_may_and_reads_no_table(module_db: psycopg.Connection) -> None:
    if module_db.execute("select to_regrole('supabase_auth_admin')").fetchone() == (None,):
        module_db.execute("create role supabase_auth_admin")
    module_db.execute("set local role booking_owner")
    module_db.execute((sql_folder() / "90_grants.sql").read_bytes())
    module_db.execute("set local role supabase_auth_admin")
    assert tenants(module_db, {"user_id": str(USER)}) == {}
    with pytest.raises(errors.InsufficientPrivilege):
        module_db.execute("select from booking.members")
