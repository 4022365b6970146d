"""Calls the functions of schema api the way PostgREST does: one transaction (read-only for GET),
then role, claims and headers, then pre_request, then the call, then what it says of status and
headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

# A refusal's code → the HTTP status that comes with it.
STATUS = {
    "invalid_request": 400,
    "range_too_large": 400,
    "not_authenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "slot_not_found": 404,
    "slot_taken": 409,
    "reservation_expired": 409,
    "appointment_conflict": 409,
    "idempotency_conflict": 409,
    "hold_limit_reached": 409,
    "customer_limit_reached": 409,
    "too_late": 409,
    "invalid_status": 409,
    "busy": 503,
}


@dataclass(frozen=True)
class Caller:
    """Who calls: the role and the claims of the token."""

    role: str = "anon"
    claims: Mapping[str, object] = field(default_factory=dict)


ANON = Caller()
SERVICE = Caller("service_role")


def customer(user_id: UUID) -> Caller:
    """A signed-in user."""
    return Caller("authenticated", {"sub": str(user_id)})


def member(user_id: UUID, tenant: UUID, role: str, staff_id: UUID | None = None) -> Caller:
    """Staff ("staff", with their staff_id) or an admin ("admin") of a tenant."""
    membership = {"role": role, "staff_id": str(staff_id) if staff_id else None}
    return Caller(
        "authenticated",
        {"sub": str(user_id), "app_metadata": {"tenants": {str(tenant): membership}}},
    )


@dataclass(frozen=True)
class Answer:
    """What the client gets."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def success(self) -> bool:
        """What the envelope says."""
        return bool(self.body["success"])

    @property
    def code(self) -> str | None:
        """The refusal's code, None for a success."""
        return self.body.get("code")


class Api:
    """A client of one session, with an address of its own. Errors that are no refusals are raised
    as PostgreSQL raised them."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self.session = session
        self.address = str(IPv4Address("10.0.0.0") + session.info.backend_pid % 2**24)

    def call(
        self,
        function: str,
        caller: Caller = ANON,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        **arguments: object,
    ) -> Answer:
        """Call api.<function> with named arguments; dicts are sent as JSON."""
        with self.session.transaction():
            if method in ("GET", "HEAD"):
                self.session.execute("set transaction read only")
            self._set_up(caller, method, function, headers or {})
            self.session.execute("select api.pre_request()")
            body = self._fetch_value(
                sql.SQL("select api.{}({})").format(
                    sql.Identifier(function),
                    sql.SQL(", ").join(
                        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
                        for name in arguments
                    ),
                ),
                {
                    name: Jsonb(value) if isinstance(value, dict | list) else value
                    for name, value in arguments.items()
                },
            )
            status = self._fetch_value(
                sql.SQL("select nullif(current_setting('response.status', true), '')"), {}
            )
            added = self._fetch_value(
                sql.SQL("select nullif(current_setting('response.headers', true), '')"), {}
            )
        pairs = [pair for header in json.loads(added or "[]") for pair in header.items()]
        return Answer(int(status or 200), body, dict(pairs))

    def _set_up(
        self, caller: Caller, method: str, function: str, headers: Mapping[str, str]
    ) -> None:
        settings = {
            "search_path": "api",
            "role": caller.role,
            "request.jwt.claims": json.dumps({"role": caller.role, **caller.claims}),
            "request.method": method,
            "request.path": f"/rpc/{function}",
            "request.headers": json.dumps(
                {"x-forwarded-for": self.address} | {k.lower(): v for k, v in headers.items()}
            ),
            "request.cookies": "{}",
            "response.status": "",
            "response.headers": "",
        }
        self.session.execute(
            sql.SQL("select ")
            + sql.SQL(", ").join(
                sql.SQL("set_config({}, {}, true)").format(name, value)
                for name, value in settings.items()
            )
        )

    def _fetch_value(self, query: sql.Composed | sql.SQL, values: Mapping[str, object]) -> Any:
        row = self.session.execute(query, values).fetchone()
        assert row is not None
        return row[0]
