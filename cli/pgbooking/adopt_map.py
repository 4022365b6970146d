"""The map of an adoption: a TOML file that says what an old system's tables mean.

deploy/examples/legacy.toml is a documented example. Fields are called as in an import's mapping;
each is a column of the old table, or SQL over its row `r`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as Table
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pgbooking.toml_reader import TomlReader

TIMES = {"start", "end", "date", "time", "end_time", "duration_minutes"}
CUSTOMER = ("customer", "email", "phone")

# What each section may say of its rows. In the order in which they are copied.
FIELDS: dict[str, set[str]] = {
    "tenants": {"external_id", "name", "slug", "time_zone", "is_active"},
    "locations": {"external_id", "tenant", "name", "time_zone", "is_active"},
    "services": {
        "external_id",
        "tenant",
        "code",
        "name",
        "duration_minutes",
        "buffer_before_minutes",
        "buffer_after_minutes",
        "price_cents",
        "currency",
        "is_active",
    },
    "staff": {"external_id", "tenant", "name", "is_active"},
    "offers": {"tenant", "staff", "service"},
    "hours": {
        "external_id",
        "tenant",
        "staff",
        "location",
        "weekday",
        "start_time",
        "end_time",
        "valid_from",
        "valid_until",
    },
    "busy_times": {"external_id", "tenant", "staff"} | TIMES,
    "appointments": {
        "external_id",
        "tenant",
        "staff",
        "location",
        "service",
        "status",
        "customer_id",
        "notes",
        "price_cents",
        "currency",
    }
    | TIMES
    | {*CUSTOMER},
}

NEEDED: dict[str, list[str]] = {
    "tenants": ["name", "time_zone"],
    "locations": ["name"],
    "services": ["name", "duration_minutes"],
    "staff": ["name"],
    "offers": ["staff", "service"],
    "hours": ["staff", "weekday", "start_time", "end_time"],
    "busy_times": ["staff"],
    "appointments": ["staff"],
}

# Whose calendars they belong to; the others are the tenant's.
OF_PEOPLE = ("busy_times", "appointments")

# What pgbooking writes back once it leads.
WRITTEN = ("hours", "busy_times", "appointments")

STATUSES = ("pending", "confirmed", "completed", "cancelled", "no_show")


@dataclass(frozen=True)
class Section:
    """What one table means. `where` and the values of `sql` and `new` are SQL over the row `r`; in
    `new`, what a row has that pgbooking adds, `a` is the appointment as jsonb."""

    name: str
    table: str
    where: str | None = None
    time_zone: str | None = None
    use_buffers: bool = False
    columns: Table[str, str] = field(default_factory=dict)
    sql: Table[str, str] = field(default_factory=dict)
    defaults: Table[str, str] = field(default_factory=dict)
    values: Table[str, Table[str, str]] = field(default_factory=dict)
    new: Table[str, str] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether rows say anything for that field."""
        return name in self.columns or name in self.sql or name in self.defaults


@dataclass(frozen=True)
class AdoptionMap:
    """The whole file. `tenant` is the one tenant of an old system that knows but one."""

    tenant: Table[str, str]
    sections: Table[str, Section]

    def as_json(self) -> str:
        """What is kept in the database."""
        return json.dumps(asdict(self), sort_keys=True)


def load_map(path: Path) -> AdoptionMap:
    """Read and check a map. Raises Problem (exit code 2) that names what is wrong and where."""
    reader = TomlReader(path)
    content = reader.read()
    reader.known(content, "", {"tenant", *FIELDS})
    sections = {name: _section(reader, content, name) for name in FIELDS if name in content}
    tenant = reader.settings(
        content, "tenant", {"slug": str, "name": str, "time_zone": str, "location": str}
    )
    if ("tenants" in sections) == bool(tenant):
        raise reader.problem(
            "it needs either [tenant], with slug, name and time_zone, or [tenants], a table."
        )
    if tenant and not {"slug", "name", "time_zone"} <= set(tenant):
        raise reader.problem("[tenant] needs slug, name and time_zone.")
    for name in ("staff", "appointments"):
        if name not in sections:
            raise reader.problem(f"it has no [{name}].")
    return AdoptionMap(tenant, sections)


def _section(reader: TomlReader, content: dict[str, Any], name: str) -> Section:
    table = reader.table(content, name)
    settings = {"table", "where"}
    tables = {"columns", "sql", "defaults", "values"}
    if name in OF_PEOPLE:
        settings |= {"time_zone"}
    if name == "appointments":
        settings |= {"use_buffers"}
    if name in WRITTEN:
        tables |= {"new"}
    reader.known(table, name, settings | tables)
    fields = FIELDS[name]
    values = reader.table(table, "values", name)
    reader.known(values, f"{name}.values", fields)
    section = Section(
        name=name,
        table=reader.value(table, "table", str, "", name),
        where=reader.value(table, "where", str, None, name),
        time_zone=reader.value(table, "time_zone", str, None, name),
        use_buffers=reader.value(table, "use_buffers", bool, False, name),
        columns=reader.values(table, "columns", str, name, fields),
        sql=reader.values(table, "sql", str, name, fields),
        defaults=reader.values(table, "defaults", str, name, fields),
        values={each: reader.values(values, each, str, f"{name}.values") for each in values},
        new=reader.values(table, "new", str, name),
    )
    _check(reader, section)
    return section


def _check(reader: TomlReader, section: Section) -> None:
    if not section.table:
        raise reader.problem(f'[{section.name}] needs table, like "public.{section.name}".')
    for name in sorted(set(section.columns) & set(section.sql)):
        raise reader.problem(f"{section.name}: {name} stands in both columns and sql.")
    for name in NEEDED[section.name]:
        if not section.has(name):
            raise reader.problem(
                f"[{section.name}] does not say what {name} is.",
                f"In [{section.name}.columns] a column, in [{section.name}.sql] SQL over the row "
                f"r, or in [{section.name}.defaults] the same for all.",
            )
    if section.name in OF_PEOPLE:
        if not section.has("start") and not (section.has("date") and section.has("time")):
            raise reader.problem(f"[{section.name}] needs start, or date and time.")
        if not (section.has("end") or section.has("end_time") or section.has("duration_minutes")):
            raise reader.problem(f"[{section.name}] needs end, end_time or duration_minutes.")
    for text, status in section.values.get("status", {}).items():
        if status not in STATUSES:
            raise reader.problem(
                f"{section.name}.values.status: {text!r} is to mean {status!r}.",
                f"A status here is {', '.join(STATUSES[:-1])} or {STATUSES[-1]}.",
            )
