"""Whom a command is about: tenants and people, as users name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload
from uuid import UUID

import psycopg

from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.rows import fetch


@dataclass(frozen=True)
class Tenant:
    """One business; `slug` is its first public name, if it has one."""

    id: UUID
    name: str
    slug: str | None
    timezone: str


@dataclass(frozen=True)
class StaffMember:
    """A person, with the id that an import gave them."""

    id: UUID
    display_name: str
    external_id: str | None


def chosen_tenants(connection: psycopg.Connection, named: str | None) -> list[Tenant]:
    """The tenant with that id or slug, or every tenant."""
    tenants = fetch(connection, "tenants_chosen", Tenant, tenant=named)
    if named is not None and not tenants:
        raise Problem(
            f"There is no tenant {named!r}.",
            "--tenant takes an id or a slug (table booking.tenant_slugs).",
            EXIT_USAGE,
        )
    return tenants


@overload
def chosen_staff(
    connection: psycopg.Connection, tenants: list[Tenant], named: str
) -> StaffMember: ...


@overload
def chosen_staff(
    connection: psycopg.Connection, tenants: list[Tenant], named: str | None
) -> StaffMember | None: ...


def chosen_staff(
    connection: psycopg.Connection, tenants: list[Tenant], named: str | None
) -> StaffMember | None:
    """The one person of that id, external id or name, or None where nobody is named."""
    if named is None:
        return None
    if len(tenants) != 1:
        raise Problem(
            "--staff names a person of one tenant.", "Say which, with --tenant.", EXIT_USAGE
        )
    tenant = tenants[0]
    people = fetch(connection, "staff_chosen", StaffMember, tenant_id=tenant.id, staff=named)
    if not people:
        raise Problem(
            f"{tenant.name} has no staff member {named!r}.",
            "--staff takes an id, an external id or the whole name.",
            EXIT_USAGE,
        )
    if len(people) > 1:
        raise Problem(
            f"{tenant.name} has {len(people)} staff members called {named!r}.",
            f"Give one's id: {', '.join(str(each.id) for each in people)}",
            EXIT_USAGE,
        )
    return people[0]
