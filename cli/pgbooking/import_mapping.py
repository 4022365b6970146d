"""The mapping of an import: a small TOML file that says what the columns of a CSV file mean.

deploy/examples/salon.toml is a documented example. Without a mapping the columns are called like
the fields below, dates and times are ISO 8601, and nothing is made that is not there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pgbooking.errors import EXIT_USAGE, Problem


class Kind(StrEnum):
    """What a file holds."""

    STAFF = "staff"
    HOURS = "hours"
    BUSY_TIMES = "busy-times"
    APPOINTMENTS = "appointments"
    HOLIDAYS = "holidays"

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
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise Problem(f"{path} cannot be read: {reason}.", None, EXIT_USAGE) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path} is not TOML: {error}.", None, EXIT_USAGE) from None
    return _Reader(path).mapping(table, kind)


class _Reader:
    """Takes a table apart, and says of what does not fit where it stands and what was expected."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mapping(self, table: dict[str, Any], kind: Kind) -> Mapping:
        top = {"source", "create_missing", "default_duration_minutes", "durations"}
        self._known(table, "", top | {"tenant", "location", "file"} | {k.section for k in Kind})
        section = self._table(table, kind.section)
        where = kind.section
        self._known(
            section,
            where,
            {"columns", "formats", "defaults", "values", "time_zone", "use_buffers"},
        )
        fields = FIELDS[kind]
        values = self._table(section, "values", where)
        self._known(values, f"{where}.values", fields)
        return Mapping(
            source=self._value(table, "source", str, None),
            create_missing=self._value(table, "create_missing", bool, False),
            default_duration_minutes=self._value(table, "default_duration_minutes", int, None),
            durations=self._values(table, "durations", int),
            tenant=NewTenant(
                **self._settings(
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
            location=NewLocation(**self._settings(table, "location", {"name": str})),
            file=CsvFormat(**self._settings(table, "file", {"delimiter": str, "encoding": str})),
            columns=self._values(section, "columns", str, where, fields),
            formats=self._values(section, "formats", str, where, FORMATS),
            defaults=self._values(section, "defaults", str, where, fields),
            values={name: self._values(values, name, str, f"{where}.values") for name in values},
            time_zone=self._value(section, "time_zone", str, None, where),
            use_buffers=self._value(section, "use_buffers", bool, True, where),
        )

    def _settings(self, table: dict[str, Any], name: str, types: Table[str, type]) -> Any:
        settings = self._table(table, name)
        self._known(settings, name, set(types))
        return {key: self._value(settings, key, types[key], None, name) for key in settings}

    def _values(
        self,
        table: dict[str, Any],
        name: str,
        value_type: type,
        where: str = "",
        allowed: set[str] | None = None,
    ) -> Any:
        values = self._table(table, name, where)
        path = _joined(where, name)
        if allowed is not None:
            self._known(values, path, allowed)
        return {key: self._value(values, key, value_type, None, path) for key in values}

    def _table(self, table: dict[str, Any], name: str, where: str = "") -> dict[str, Any]:
        value: dict[str, Any] = self._value(table, name, dict, {}, where)
        return value

    def _value(
        self, table: dict[str, Any], name: str, value_type: type, default: Any, where: str = ""
    ) -> Any:
        value = table.get(name, default)
        # In Python a boolean is an integer; in TOML it is not.
        fits = isinstance(value, value_type) and isinstance(value, bool) == (value_type is bool)
        if name in table and not fits:
            raise Problem(
                f"{self.path}: {_joined(where, name)} is {value!r}, and {TYPES[value_type]} was "
                "expected.",
                None,
                EXIT_USAGE,
            )
        return value

    def _known(self, table: dict[str, Any], where: str, allowed: set[str]) -> None:
        for name in table:
            if name not in allowed:
                raise Problem(
                    f"{self.path}: {_joined(where, name)} is not known.",
                    f"Known {f'in [{where}]' if where else 'there'}: {', '.join(sorted(allowed))}",
                    EXIT_USAGE,
                )


TYPES = {
    str: "a text in quotes",
    int: "a whole number",
    bool: "true or false",
    dict: "a table",
}


def _joined(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
