"""Random and hostile arguments, sent as PostgREST sends them: one JSON text, which json_to_record
reads into the declared types."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from tests.api import ANON, SERVICE, STATUS, Answer, Api, Caller, customer, member
from tests.salon import TEN, Salon

SECONDS = 3.0

SESSION = "session-of-ada-0123456789"
TOKEN = "0123456789abcdef" * 4
USER = uuid4()
HOUR = timedelta(hours=1)

# The errors that PostgREST tells as 4xx: bad values (400), reading only (405), no right (401, 403).
CLIENT_ERRORS = ("22", "25006", "42501")

# Limits of the JSON parser, which it meets before any function of ours is reached; PostgREST tells
# them as 500. This is the whole list.
PARSER_LIMITS = {
    "54000": "an array of more than six dimensions",
    "54001": "nested deeper than the server's stack",
}

# One caller alone never waits for a lock.
REFUSALS = STATUS.keys() - {"busy"}

# Argument → JSON text, sent as it stands.
Raw = dict[str, str]

MEGABYTE = "x" * 2**20
DEEP = "[" * 5_000 + "]" * 5_000
DEEP_OBJECT = '{"a":' * 5_000 + "1" + "}" * 5_000
WIDE = json.dumps({f"key {number}": number for number in range(100_000)})
LONG_LIST = json.dumps(["00000000-0000-4000-8000-000000000000"] * 20_000)

# JSON texts. The first ones are sent often, the heavy ones seldom.
ODD = [
    "null",
    '""',
    '" "',
    "0",
    "-1",
    "1.5",
    "1e400",
    "-1e-400",
    "99999999999999999999999999999999",
    "2147483647",
    "-2147483648",
    "true",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    '[["a", "b"], ["c"]]',
    '{"a": {"b": null}}',
    '{"": ""}',
    '"NaN"',
    '"null"',
    '"{}"',
    '"{NULL}"',
    '"{{NULL}}"',
    '"{a,b"',
    '"[2:3]={a,b}"',
    '"\' or true --"',
    '"\'; drop table booking.staff; --"',
    '"$$; select pg_sleep(10); $$"',
    '"1); delete from booking.appointments; --"',
    '"%s%n%1$I"',
    '"\\\\"',
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u202e\\u200b\\ufeff"',
    '"\U0001f469\u200d\U0001f680"',
    '"\u0661\u0662"',
    '"e\u0301\u0130\u1e9e"',
    '"\\n\\r\\t\\u001b[31m"',
    '"infinity"',
    '"-infinity"',
    '"epoch"',
    '"now"',
    '"today"',
    '"allballs"',
    '"0044-03-15 BC"',
    '"4714-11-24 00:00:00+00 BC"',
    '"5000-01-01 BC"',
    '"0001-01-01"',
    '"1899-12-31"',
    '"9999-12-31"',
    '"10000-01-01"',
    '"294276-12-31 23:59:59+00"',
    '"294277-01-01"',
    '"5874897-12-31"',
    '"5874898-01-01"',
    '"2026-02-30"',
    '"20260303"',
    '"24:00"',
    '"2026-03-03 24:00"',
    '"2026-03-03 10:00 Europe/Atlantis"',
    '"2026-03-03T10:00+99:99"',
    '"2026-03-29 02:30 Europe/Berlin"',
    '"1 day"',
    '"00000000-0000-0000-0000-000000000000"',
    '"ffffffff-ffff-ffff-ffff-ffffffffffff"',
    '"{00000000-0000-4000-8000-000000000000}"',
    '"00000000-0000-4000-8000-00000000000"',
]
HEAVY = [json.dumps(MEGABYTE), DEEP, DEEP_OBJECT, WIDE, LONG_LIST]

WORKING_HOUR: dict[str, Any] = {"weekday": 1, "start_time": "09:00", "end_time": "17:00"}


def odd_hours(random_: random.Random, location: UUID) -> str:
    """A week in which something is wrong, or nothing."""
    hour: dict[str, Any] = {"location_id": str(location), **WORKING_HOUR}
    entries: list[str] = []
    for _ in range(random_.choice([1, 1, 2, 7, 100, 101])):
        entry = {key: json.dumps(value) for key, value in hour.items()}
        if random_.random() < 0.3:
            entry[random_.choice(list(hour))] = random_.choice(ODD)
        if random_.random() < 0.05:
            entry.pop(random_.choice(list(hour)))
        entries.append(as_object(entry))
    if random_.random() < 0.2:
        entries.append(random_.choice(ODD))
    return f"[{', '.join(entries)}]"


def odd_customer(random_: random.Random) -> str:
    """What a form says of its user, with something wrong or odd in it."""
    fields = {"name": '"Ada"', "email": '"ada@example.org"'}
    for field in random_.sample(["name", "email", "phone", "locale", "timezone", "more"], k=2):
        fields[field] = random_.choice(ODD)
    return as_object(fields)


def as_object(fields: Mapping[str, str]) -> str:
    """The JSON object of these JSON texts."""
    return "{" + ", ".join(f"{json.dumps(key)}: {text}" for key, text in fields.items()) + "}"


@dataclass(frozen=True)
class Function:
    """A function of schema api, as PostgREST knows it."""

    name: str
    arguments: dict[str, str]
    required: list[str]
    roles: list[str]


def functions_of_api(db: psycopg.Connection[Any]) -> list[Function]:
    """Every function of schema api that has arguments, from the catalog."""
    rows = db.execute(
        """
        select p.proname, p.proargnames,
          array(
            select format_type(t, null) from unnest(p.proargtypes::oid[]) with ordinality as a(t, n)
            order by n
          ),
          p.pronargs - p.pronargdefaults,
          array(
            select r.rolname::text from pg_roles r
            where r.rolname in ('anon', 'authenticated', 'service_role')
              and has_function_privilege(r.oid, p.oid, 'execute')
            order by 1
          )
        from pg_proc p
        where p.pronamespace = 'api'::regnamespace and p.pronargs > 0
        order by p.proname
        """
    ).fetchall()
    return [
        Function(name, dict(zip(names, types, strict=True)), names[:required], roles)
        for name, names, types, required, roles in rows
    ]


def random_request(
    random_: random.Random, function: Function, good: Mapping[str, str], location: UUID
) -> Raw:
    """Arguments, each a JSON text: mostly those that work, one or more replaced."""
    kind = random_.random()
    oddness = 0.0 if kind < 0.1 else 0.15 if kind < 0.6 else 0.5 if kind < 0.9 else 1.0
    request: Raw = {}
    for name, type_ in function.arguments.items():
        is_odd = random_.random() < oddness
        if name not in function.required and random_.random() < 0.3:
            continue
        if not is_odd:
            request[name] = good.get(name, "null")
        elif type_ == "uuid" and random_.random() < 0.5:
            request[name] = json.dumps(str(random_uuid(random_, good)))
        elif name == "hours" and random_.random() < 0.7:
            request[name] = odd_hours(random_, location)
        elif name == "user_data" and random_.random() < 0.7:
            request[name] = odd_customer(random_)
        elif type_ == "uuid[]" and random_.random() < 0.7:
            some = random_.choices(
                ["null", '"x"', "[]", good["staff_id"], '"' + str(uuid4()) + '"'],
                k=random_.choice([1, 2, 3, 25]),
            )
            nested = f"[{', '.join(some)}]"
            request[name] = nested if random_.random() < 0.6 else f"[{nested}, {nested}]"
        elif random_.random() < 0.02:
            request[name] = random_.choice(HEAVY)
        else:
            request[name] = random_.choice(ODD)
    return request


def random_uuid(random_: random.Random, good: Mapping[str, str]) -> UUID:
    """Somebody's id, in the wrong place, or nobody's (of any version)."""
    known = [json.loads(text) for name, text in good.items() if name.endswith("_id")]
    ids = [each for each in known if len(each) == 36]
    any_bits = f"{random_.getrandbits(128):032x}"
    return UUID(
        random_.choice([random_.choice(ids), any_bits[:12] + "8" + any_bits[13:], "0" * 32])
    )


@dataclass(frozen=True)
class Outcome:
    """What became of a call: an answer, or an error of PostgreSQL; and how long it took."""

    answer: Answer | None
    error: psycopg.Error | None
    seconds: float


class JsonApi(Api):
    """Calls with JSON text. Every constraint is asked, and then whatever a call does is taken back,
    unless it is to be kept."""

    keeps = False

    def send(
        self, function: Function, caller: Caller, request: Raw, *, method: str = "POST"
    ) -> Outcome:
        """One request."""
        began = time.monotonic()
        try:
            with self.session.transaction(force_rollback=not self.keeps):
                if method == "GET":
                    self.session.execute("set transaction read only")
                self._set_up(caller, method, function.name, {})
                body = self._fetch_value(
                    self._statement(function, request), {"b": as_object(request)}
                )
                self.session.execute("set constraints all immediate")
                status = self._fetch_value(
                    sql.SQL("select nullif(current_setting('response.status', true), '')"), {}
                )
        except psycopg.Error as error:
            return Outcome(None, error, time.monotonic() - began)
        return Outcome(Answer(int(status or 200), body, {}), None, time.monotonic() - began)

    @staticmethod
    def _statement(function: Function, request: Raw) -> sql.Composed:
        """As PostgREST writes it."""
        return sql.SQL(
            "select api.{}({}) from json_to_record(%(b)s::json) as body({}) limit 1"
        ).format(
            sql.Identifier(function.name),
            sql.SQL(", ").join(
                sql.SQL("{0} := body.{0}").format(sql.Identifier(name)) for name in request
            ),
            sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(function.arguments[name]))
                for name in request
            ),
        )


def good_arguments(salon: Salon, slug: str) -> dict[str, dict[str, str]]:
    """Function → arguments that work, as JSON texts. "" is what all have in common."""
    salon.db.execute("insert into booking.tenant_slugs values (%s, %s)", (slug, salon.tenant))
    colleague = salon.add_person()
    salon.hold(
        salon.cut,
        session_hash=sha256(SESSION.encode()).digest(),
        customer_id=USER,
        quoted_price_cents=100,
        currency="EUR",
    )
    held, free = salon.slot(salon.cut), salon.slot(salon.cut, TEN + 3 * HOUR)
    appointment = salon.appointment(
        TEN + HOUR,
        customer_id=USER,
        status="pending",
        payment_status="pending",
        price_cents=100,
        manage_token_hash=sha256(TOKEN.encode()).digest(),
    )
    common: dict[str, Any] = {
        "tenant_id": salon.tenant,
        "staff_id": salon.person,
        "location_id": salon.location,
        "appointment_type": "cut",
        "session_id": SESSION,
        "slot_id": free["slot_id"],
        "start_time": free["start_time"].isoformat(),
        "appointment_id": appointment,
        "start_date": "2026-03-03",
        "end_date": "2026-03-04",
        "duration_minutes": 30,
        "max_results": 20,
        "slug": slug,
        "at": TEN.isoformat(),
        "from_time": TEN.isoformat(),
        "payment_status": "paid",
        "payment_reference": "pi_1",
        "user_data": {"name": "Ada", "email": "ada@example.org"},
        "hours": [{"location_id": str(salon.location), **WORKING_HOUR}],
        "valid_from": "2026-04-01",
        "copy_to_staff_ids": [str(colleague)],
        "idempotency_key": "a key",
        "notes": "a note",
        "reason": "a reason",
        "manage_token": TOKEN,
    }
    held_slot = {"slot_id": held["slot_id"], "start_time": held["start_time"].isoformat()}
    return {
        name: {key: json.dumps(value, default=str) for key, value in (common | more).items()}
        for name, more in {
            "": {},
            "create_appointment": held_slot,
            "release_slot": held_slot,
        }.items()
    }


def callers_of(salon: Salon) -> dict[str, list[Caller]]:
    """Role → who comes with it, with tokens good and bad."""
    return {
        "anon": [ANON],
        "authenticated": [
            customer(USER),
            customer(uuid4()),
            member(uuid4(), salon.tenant, "admin"),
            member(uuid4(), salon.tenant, "staff", salon.person),
            member(uuid4(), uuid4(), "admin"),
            Caller("authenticated"),
            Caller("authenticated", {"sub": "nobody", "app_metadata": {"tenants": [1, None]}}),
        ],
        "service_role": [SERVICE],
    }


def kind_of(outcome: Outcome) -> str:
    """success, refusal or error."""
    if outcome.answer is None:
        return "error"
    body = outcome.answer.body
    return "success" if isinstance(body, dict) and body.get("success") else "refusal"


def fault(function: Function, request: Raw, outcome: Outcome) -> str | None:
    """What is wrong with that outcome, or None."""
    if outcome.seconds > SECONDS:
        return f"took {outcome.seconds:.1f} s"
    if outcome.error is not None:
        state = outcome.error.sqlstate or ""
        context = outcome.error.diag.context or ""
        if state in PARSER_LIMITS and "PL/pgSQL" not in context:
            return None
        if not state.startswith(CLIENT_ERRORS):
            return f"{state} {outcome.error}"
        if "PL/pgSQL function booking." in context and state != "25006":
            return f"{state} from inside: {outcome.error}\n{outcome.error.diag.context}"
        return None
    assert outcome.answer is not None
    status, body = outcome.answer.status, outcome.answer.body
    if not isinstance(body, dict):
        return f"answered {body!r}"
    if body.get("success") is True:
        return None if status == 200 else f"success with status {status}"
    return bad_refusal(function, status, body)


def bad_refusal(function: Function, status: int, body: dict[str, Any]) -> str | None:
    """What is wrong with the envelope of a refusal, or None."""
    if set(body) != {"success", "code", "message", "details", "hint"}:
        return f"envelope {body}"
    if body["code"] not in REFUSALS or STATUS[body["code"]] != status:
        return f"status {status} for {body['code']}"
    message = body["message"]
    if not message.endswith(".") or not message[0].isprintable() or len(message) > 500:
        return f"no sentence: {message[:600]!r}"
    if body["code"] in ("invalid_request", "range_too_large") and not any(
        name in message for name in function.arguments
    ):
        return f"names no field: {message}"
    return None
