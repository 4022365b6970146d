"""The mapping of an import: a small TOML file that says what the columns of a CSV file mean.

deploy/examples/salon.toml is a documented example. Without a mapping the columns are called like
the fields below, dates and times are ISO 8601, and nothing is made that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Table
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pgbooking.toml_reader import TomlReader


class Kind(StrEnum):
    """What a file holds."""

    STAFF = "staff"
    HOURS = "hours"
    BUSY_TIMES = "busy-times"
    APPOINTMENTS = "appointments"
    HOLIDAYS = "holidays"
    SLOTS = "slots"
    """What another system offers: to be compared, never imported."""

    @property
    def section(self) -> str:
        """The table of the mapping that is about it."""
        return self.value.replace("-", "_")


FIELDS: dict[Kind, set[str]] = {
    Kind.STAFF: {"name", "services", "external_id"},
    Kind.HOURS: {
        "staff",
        "location",
        "weekday",
        "start_time",
        "end_time",
        "valid_from",
        "valid_until",
        "external_id",
    },
    Kind.BUSY_TIMES: {
        "staff",
        "start",
        "end",
        "date",
        "time",
        "end_time",
        "duration_minutes",
        "external_id",
    },
    Kind.APPOINTMENTS: {
        "staff",
        "location",
        "service",
        "start",
        "end",
        "date",
        "time",
        "end_time",
        "duration_minutes",
        "status",
        "customer",
        "email",
        "phone",
        "notes",
        "external_id",
    },
    Kind.HOLIDAYS: set(),  # read from iCalendar only
    Kind.SLOTS: {
        "staff",
        "location",
        "service",
        "start",
        "end",
        "date",
        "time",
        "end_time",
        "duration_minutes",
    },
}

FORMATS = {"date", "time", "datetime"}


@dataclass(frozen=True)
class NewTenant:
    """The tenant that the file is about, and what it is made of where it may be made."""

    slug: str | None = None
    name: str | None = None
    time_zone: str | None = None
    slot_step_minutes: int | None = None
    slot_alignment: str | None = None


@dataclass(frozen=True)
class NewLocation:
    """The place of rows that name none."""

    name: str | None = None


@dataclass(frozen=True)
class CsvFormat:
    """How the file is written."""

    delimiter: str = ","
    encoding: str = "utf-8-sig"


@dataclass(frozen=True)
class Mapping:
    """Everything that one kind's import takes from the TOML file."""

    source: str | None = None
    create_missing: bool = False
    default_duration_minutes: int | None = None
    durations: Table[str, int] = field(default_factory=dict)
    tenant: NewTenant = field(default_factory=NewTenant)
    location: NewLocation = field(default_factory=NewLocation)
    file: CsvFormat = field(default_factory=CsvFormat)
    columns: Table[str, str] = field(default_factory=dict)
    formats: Table[str, str] = field(default_factory=dict)
    defaults: Table[str, str] = field(default_factory=dict)
    values: Table[str, Table[str, str]] = field(default_factory=dict)
    time_zone: str | None = None
    use_buffers: bool = True


def load_mapping(path: Path | None, kind: Kind) -> Mapping:
    """Read and check a mapping. Raises Problem (exit code 2) that names what is wrong and where."""
    if path is None:
        return Mapping()
    reader = _MappingReader(path)
    return reader.mapping(reader.read(), kind)


class _MappingReader(TomlReader):
    """A file that is a mapping."""

    def mapping(self, table: dict[str, Any], kind: Kind) -> Mapping:
        top = {"source", "create_missing", "default_duration_minutes", "durations"}
        self.known(table, "", top | {"tenant", "location", "file"} | {k.section for k in Kind})
        section = self.table(table, kind.section)
        where = kind.section
        self.known(
            section,
            where,
            {"columns", "formats", "defaults", "values", "time_zone", "use_buffers"},
        )
        fields = FIELDS[kind]
        values = self.table(section, "values", where)
        self.known(values, f"{where}.values", fields)
        return Mapping(
            source=self.value(table, "source", str, None),
            create_missing=self.value(table, "create_missing", bool, False),
            default_duration_minutes=self.value(table, "default_duration_minutes", int, None),
            durations=self.values(table, "durations", int),
            tenant=NewTenant(
                **self.settings(
                    table,
                    "tenant",
                    {
                        "slug": str,
                        "name": str,
                        "time_zone": str,
                        "slot_step_minutes": int,
                        "slot_alignment": str,
                    },
                )
            ),
            location=NewLocation(**self.settings(table, "location", {"name": str})),
            file=CsvFormat(**self.settings(table, "file", {"delimiter": str, "encoding": str})),
            columns=self.values(section, "columns", str, where, fields),
            formats=self._formats(section, where),
            defaults=self.values(section, "defaults", str, where, fields),
            values={name: self.values(values, name, str, f"{where}.values") for name in values},
            time_zone=self.value(section, "time_zone", str, None, where),
            use_buffers=self.value(section, "use_buffers", bool, True, where),
        )

    def _formats(self, section: dict[str, Any], where: str) -> Any:
        formats = self.values(section, "formats", str, where, FORMATS)
        for name, text in formats.items():
            try:
                with suppress(ValueError):  # what fits nothing, too
                    datetime.strptime("", text)  # noqa: DTZ007
            except re.error:
                raise self.problem(
                    f"{where}.formats.{name} is {text!r}, which has a part twice."
                ) from None
        return formats
