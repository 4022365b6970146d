"""Calls of every function of schema api, by everyone, with odd arguments, of two tenants and kept:
each is answered as documented and tells nothing of the other tenant or other people, and after
each hundred what is published is what is calculated, and nothing overlaps.

What the arguments may be and what an answer may not: tests/rls/hostile.py. One call alone, taken
back: tests/rls/test_hostile_arguments.py.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.api import ANON, SERVICE, Caller, customer, member
from tests.cli.conftest import SALON_NOW, Run, run_without_database
from tests.fuzz.samples import CASES, CORPUS, FOUND, SEED
from tests.postgres import Server
from tests.rls.hostile import (
    SECONDS,
    USER,
    Function,
    JsonApi,
    Outcome,
    Raw,
    fault,
    functions_of_api,
    good_arguments,
    kind_of,
    random_request,
)
from tests.salon import TEN, Salon, make_salon, set_clock

__all__ = ["run_without_database"]

ROUND = 100

UUID_TEXT = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# It is asked for a session's holds, of whichever tenant.
OF_ALL_TENANTS = "get_reservations"


@dataclass(frozen=True)
class Owner:
    """A tenant, what works there, and what is told to nobody else."""

    salon: Salon
    good: dict[str, dict[str, str]]
    secret: str

    @property
    def id(self) -> str:
        return str(self.salon.tenant)

    def arguments(self, function: str) -> Raw:
        """What works there, with slots and appointments that are there by now."""
        return self.good.get(function, self.good[""])


@dataclass(frozen=True)
class Call:
    """One call, and who it is about."""

    function: Function
    caller: Caller
    method: str
    request: Raw
    owner: Owner


@dataclass(frozen=True)
class Place:
    """The database of two tenants, to be cloned."""

    name: str
    owners: list[Owner]


@pytest.fixture(scope="module")
def place(server: Server, salon_template: tuple[str, Salon]) -> Iterator[Place]:
    """Two tenants, both with something to hide."""
    with server.database(salon_template[0]) as url:
        with psycopg.connect(url, autocommit=True) as db:
            set_clock(db)
            salons = [replace(salon_template[1], db=db), make_salon(db)]
            owners = [
                Owner(salon, good_arguments(salon, name), f"secret-of-{name}")
                for name, salon in zip(("one", "two"), salons, strict=True)
            ]
            for owner in owners:
                hide(owner)
            name = db.info.dbname
        yield Place(name, owners)


def hide(owner: Owner) -> None:
    """Things of other people that no stranger may be told."""
    salon, secret = owner.salon, owner.secret
    start = TEN.replace(hour=15)
    salon.appointment(
        start,
        customer_id=uuid4(),
        customer=json.dumps({"name": secret, "email": f"{secret}@example.org"}),
        notes=secret,
        external_id=secret,
    )
    own = {"staff_id": salon.person, "start_time": start.replace(day=4)}
    salon.insert(
        "busy_times", **own, end_time=start.replace(day=5), source=secret, external_id=secret
    )
    for table in ("staff", "locations", "working_hours"):
        salon.db.execute(
            f"update booking.{table} set external_id = %s where tenant_id = %s and id ="
            f" (select id from booking.{table} where tenant_id = %s order by id limit 1)".encode(),
            (secret, salon.tenant, salon.tenant),
        )


def callers_by_name(owner: Owner, other: Owner) -> dict[str, Caller]:
    """Everyone who may call about the owner."""
    salon = owner.salon
    return {
        "anon": ANON,
        "customer": customer(USER),
        "stranger": customer(uuid4()),
        "admin": member(uuid4(), salon.tenant, "admin"),
        "staff": member(uuid4(), salon.tenant, "staff", salon.person),
        "admin of another": member(uuid4(), other.salon.tenant, "admin"),
        "staff of another": member(uuid4(), other.salon.tenant, "staff", other.salon.person),
        "nobody": Caller("authenticated", {"sub": "nobody", "app_metadata": {"tenants": [1]}}),
        "service": SERVICE,
    }


def kept_calls(functions: list[Function], owners: list[Owner]) -> Iterator[Call]:
    """Those of the corpus."""
    by_name = {each.name: each for each in functions}
    for file in sorted((CORPUS / "api").glob("*.json")):
        for each in json.loads(file.read_text()):
            function, owner = by_name[each["function"]], owners[0]
            good = owner.arguments(function.name)
            request = {name: good.get(name, "null") for name in function.arguments}
            caller = callers_by_name(owner, owners[1])[each["caller"]]
            yield Call(function, caller, each["method"], request | each["odd"], owner)


def random_calls(
    db: psycopg.Connection[Any], functions: list[Function], owners: list[Owner], first: int
) -> Iterator[Call]:
    """A round of them, about what is there by then."""
    for number in range(first, min(first + ROUND, CASES)):
        random_ = random.Random(f"{SEED} {number}")
        owner, other = random_.sample(owners, k=2)
        function = random_.choice(functions)
        caller = random_.choice([*callers_by_name(owner, other).values()])
        if caller.role not in function.roles and random_.random() < 0.9:
            caller = SERVICE
        good = owner.arguments(function.name)
        if random_.random() < 0.6:
            good = good | something_there(db, owner, random_)
        request = random_request(random_, function, good, owner.salon.location)
        for name in request:
            if random_.random() < 0.05:
                request[name] = other.arguments(function.name).get(name, "null")
        yield Call(function, caller, "GET" if random_.random() < 0.1 else "POST", request, owner)


def something_there(db: psycopg.Connection[Any], owner: Owner, random_: random.Random) -> Raw:
    """A bookable slot and an appointment, as arguments."""
    there: Raw = {}
    for query, names in (
        (
            "select id, start_time from booking.availability_slots"
            " where tenant_id = %s and is_available order by start_time, id offset %s limit 1",
            ("slot_id", "start_time"),
        ),
        (
            "select id from booking.appointments where tenant_id = %s"
            " order by start_time, id offset %s limit 1",
            ("appointment_id",),
        ),
    ):
        offset = random_.randrange(400 if len(names) == 2 else 3)
        row = db.execute(query.encode(), (owner.id, offset)).fetchone()
        if row:
            there |= dict(zip(names, (json.dumps(str(each)) for each in row), strict=True))
    return there


def leak(db: psycopg.Connection[Any], call: Call, outcome: Outcome, owners: list[Owner]) -> str:
    """What the caller is told that is not theirs to know, or nothing."""
    said = json.dumps(outcome.answer.body) if outcome.answer else told_by(outcome.error)
    asked = json.dumps(call.request)
    ids = [*set(UUID_TEXT.findall(said)) - set(UUID_TEXT.findall(asked))]
    for owner in owners:
        may_know = call.caller is SERVICE or owner.id in json.dumps(dict(call.caller.claims))
        if not may_know and (owner.secret in said or is_private(db, owner, ids, call.caller)):
            return f"tells a {owner.secret}: {said[:500]}"
    if call.function.name == OF_ALL_TENANTS:
        return ""
    asked_for = {
        owner.id
        for owner in owners
        if is_about(db, owner, UUID_TEXT.findall(asked))
        or call.request.get("slug") == owner.good[""]["slug"]
    }
    for owner in owners:
        if owner.id not in asked_for and is_about(db, owner, ids):
            return f"tells ids of a tenant that was not asked for: {said[:500]}"
    return ""


def told_by(error: psycopg.Error | None) -> str:
    """All that PostgREST may pass on."""
    diagnostics = error.diag if error else None
    parts = ("message_primary", "message_detail", "message_hint")
    return " ".join(str(getattr(diagnostics, part, "")) for part in parts)


def is_private(db: psycopg.Connection[Any], owner: Owner, ids: list[str], caller: Caller) -> bool:
    """Whether one of them is of a row that only the tenant's own people see, or another customer's
    appointment."""
    found = db.execute(
        """
        select from booking.appointments
        where tenant_id = %(tenant)s and id = any (%(ids)s::uuid[])
          and customer_id::text is distinct from %(customer)s
        union all
        select from booking.busy_times
        where tenant_id = %(tenant)s and id = any (%(ids)s::uuid[])
        union all
        select from booking.working_hours
        where tenant_id = %(tenant)s and id = any (%(ids)s::uuid[])
        limit 1
        """,
        {"tenant": owner.id, "ids": ids, "customer": caller.claims.get("sub")},
    )
    return bool(ids) and found.rowcount > 0


def is_about(db: psycopg.Connection[Any], owner: Owner, ids: list[str]) -> bool:
    """Whether one of them is the tenant's, or of something it has."""
    if not ids:
        return False
    if owner.id in ids:
        return True
    tables = "staff locations appointment_types appointments availability_slots slot_reservations"
    tables += " slot_shapes busy_times working_hours"
    query = " union all ".join(
        f"select from booking.{table} where tenant_id = %(tenant)s"
        f" and {'slot_id' if table == 'slot_reservations' else 'id'} = any (%(ids)s::uuid[])"
        for table in tables.split()
    )
    found = db.execute(f"select exists ({query})".encode(), {"tenant": owner.id, "ids": ids})
    return found.fetchone() == (True,)


def assert_exact(db: psycopg.Connection[Any]) -> None:
    """Published is what is calculated, and neither appointments nor holds overlap."""
    differences = db.execute(
        "select d.kind, d.start_time, d.published, d.expected from booking.tenants t"
        " cross join lateral booking.find_differences(t.id) d"
    ).fetchall()
    assert differences == []
    overlaps = db.execute(
        """
        with claims as (
          select tenant_id, staff_id, claim, slot_id, id from booking.appointments
          where status <> 'cancelled'
          union all
          select tenant_id, staff_id, claim, slot_id, id from booking.slot_reservations
          where expires_at > booking.now()
        )
        select a.id, b.id from claims a
        join claims b on b.tenant_id = a.tenant_id and b.staff_id = a.staff_id and b.id > a.id
          and b.claim && a.claim and b.slot_id is distinct from a.slot_id
        """
    ).fetchall()
    assert overlaps == []


def test_calls_that_are_kept_tell_nothing_and_leave_everything_exact(
    server: Server,
    place: Place,
    run_without_database: Run,
) -> None:
    print(f"PGBOOKING_SEED={SEED} PGBOOKING_CASES={CASES}")
    counts: Counter[tuple[str, str]] = Counter()
    faults: dict[str, str] = {}
    for first in range(0, max(CASES, 1), ROUND):
        with cloned(server, place.name) as (url, db, clock):
            api = JsonApi(clock)
            functions = functions_of_api(db)
            calls = random_calls(db, functions, place.owners, first)
            for call in calls if first else (*kept_calls(functions, place.owners), *calls):
                outcome = send(api, call)
                counts[call.function.name, kind_of(outcome)] += 1
                found = fault(call.function, call.request, outcome) or leak(
                    db, call, outcome, place.owners
                )
                if found:
                    about = f"{call.function.name}: {UUID_TEXT.sub('', found.splitlines()[0])[:60]}"
                    faults.setdefault(about, told(call, found))
            if faults:
                break
            assert_exact(db)
            if first + ROUND >= CASES:
                # As anyone would ask, and by the independent calculator.
                asked = ("verify", "--independent", "--database-url", url, "--now", SALON_NOW)
                verified = run_without_database(*asked)
                assert verified.code == 0, verified.out
    assert not faults, "\n\n".join(faults.values())
    totals = {
        kind: sum(number for (_, each), number in counts.items() if each == kind)
        for kind in ("success", "refusal", "error")
    }
    print(f"api: {totals}, {len({name for name, _ in counts})} functions")
    assert CASES < ROUND or all(totals.values())
    assert CASES < ROUND or {name for name, _ in counts} == {each.name for each in functions}


def send(api: JsonApi, call: Call) -> Outcome:
    """One call, kept. One that took too long is tried again and taken back: other tests run beside
    this one."""
    api.keeps = True
    outcome = api.send(call.function, call.caller, call.request, method=call.method)
    api.keeps = False
    seconds = outcome.seconds
    for _ in range(3):
        if seconds <= SECONDS:
            break
        again = api.send(call.function, call.caller, call.request, method=call.method)
        seconds = min(seconds, again.seconds)
    return replace(outcome, seconds=seconds)


def told(call: Call, found: str) -> str:
    """The fault and its call, which is saved as the corpus has it."""
    caller = json.dumps({"role": call.caller.role, **call.caller.claims})
    kept = {
        "function": call.function.name,
        "caller": caller,
        "method": call.method,
        "odd": call.request,
    }
    FOUND.mkdir(exist_ok=True)
    with (FOUND / "calls.json").open("a") as file:
        file.write(f"{json.dumps(kept)}\n")
    shortened = {name: text[:200] for name, text in call.request.items()}
    return (
        f"{found[:1500]}\n{call.method} {call.function.name} as {caller}\n{shortened}\n"
        f"saved in {FOUND / 'calls.json'}; keep it in {CORPUS / 'api'} with the caller by name"
    )


@contextmanager
def cloned(
    server: Server, template: str
) -> Iterator[tuple[str, psycopg.Connection[Any], psycopg.Connection[Any]]]:
    """The address of a clone, a session to look into it and one to call from."""
    with (
        server.database(template) as url,
        psycopg.connect(url, autocommit=True) as db,
        psycopg.connect(url, autocommit=True) as caller,
    ):
        set_clock(db)
        set_clock(caller)
        yield url, db, caller
