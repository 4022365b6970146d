"""The README's clients, run as written; and what the Python client makes of refusals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgrest import APIError, CountMethod, SyncPostgrestClient

from tests.booking.booked import OTHER_SESSION, rows, staff_of
from tests.clients import node
from tests.clients.examples import example
from tests.http.shop import Shop
from tests.left_out import NO_SHELL_TOOLS


@pytest.fixture
def visited(shop: Shop) -> Iterator[Shop]:
    """A salon as the README knows it, where an appointment must have been booked and cancelled."""
    shop.salon.db.execute(
        "insert into booking.tenant_slugs (slug, tenant_id) values ('salon', %s)"
        " on conflict (slug) do update set tenant_id = excluded.tenant_id",
        [shop.salon.tenant],
    )
    shop.salon.db.execute(
        "update booking.appointment_types set code = 'STANDARD' where id = %s", [shop.salon.cut]
    )
    yield shop
    (appointment,) = rows(
        shop.salon, "select * from booking.appointments where tenant_id = %s", shop.salon.tenant
    )
    assert appointment["status"] == "cancelled"
    assert appointment["cancel_reason"] == "ill"
    assert appointment["customer"]["name"] == "Ada Lovelace"


def run(shop: Shop, *command: str, folder: Path | None = None) -> str:
    """What a client prints; it must succeed."""
    environment = os.environ | {"API": shop.postgrest.url, "TOKEN": shop.token(shop.customer)}
    result = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_curl(visited: Shop) -> None:
    if not all(map(shutil.which, ("bash", "curl", "jq", "openssl"))):
        pytest.skip(NO_SHELL_TOOLS)
    script = "set -euo pipefail\n" + example("bash")
    run(visited, "bash", "-c", script)


def test_postgrest_js(visited: Shop, tmp_path: Path) -> None:
    node.need_node()
    assert node.errors(tmp_path, example=example("ts")) == ""
    assert " cancelled " in run(visited, "node", "example.js", folder=tmp_path)


def test_postgrest_py(visited: Shop) -> None:
    assert " cancelled " in run(visited, sys.executable, "-c", example("python"))


@pytest.fixture
def api(shop: Shop) -> Iterator[SyncPostgrestClient]:
    """The Python client, anonymous."""
    with SyncPostgrestClient(shop.postgrest.url, schema="api", headers=shop.headers()) as client:
        yield client


def test_a_refusal_is_an_error_with_its_code(shop: Shop, api: SyncPostgrestClient) -> None:
    hold = {"slot_id": str(shop.slot()), "session_id": shop.session}
    api.rpc("reserve_slot", hold).execute()
    with pytest.raises(APIError) as refused:
        api.rpc("reserve_slot", hold | {"session_id": OTHER_SESSION}).execute()
    assert refused.value.code == "slot_taken"
    assert refused.value.message == "This time is no longer available."


def test_a_list_is_filtered_ordered_and_paged(shop: Shop, api: SyncPostgrestClient) -> None:
    answer = (
        api.from_("availability_slots")
        .select("id", count=CountMethod.exact)
        .eq("tenant_id", str(shop.salon.tenant))
        .eq("duration_minutes", 30)
        .gte("start_time", shop.ten.isoformat())
        .order("start_time")
        .limit(2)
        .execute()
    )
    assert answer.data == [{"id": str(shop.slot())}, {"id": str(shop.slot(0.25))}]
    assert answer.count is not None
    assert answer.count > 2


def test_staff_write_a_break(shop: Shop) -> None:
    headers = shop.headers(staff_of(shop.salon))
    lunch = {
        "tenant_id": str(shop.salon.tenant),
        "staff_id": str(shop.salon.person),
        "start_time": "12:00",
        "end_time": "13:00",
    }
    with SyncPostgrestClient(shop.postgrest.url, schema="api", headers=headers) as client:
        (row,) = client.from_("breaks").insert(lunch).execute().data
    assert isinstance(row, dict)
    assert row["staff_name"] == "Ada"
    assert not shop.salon.available(shop.salon.cut, shop.ten.replace(hour=12))
