"""TOML files that people write: what does not fit is told by its place and what was expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping as Table
from pathlib import Path
from typing import Any

from pgbooking.errors import EXIT_USAGE, Problem

TYPES = {
    str: "a text in quotes",
    int: "a whole number",
    bool: "true or false",
    dict: "a table",
}

# The parser's time is the square of a name's length: 18 s for one of 35,000 parts.
ENDLESS_NAME = re.compile(r"(?:\.[A-Za-z0-9_-]+){100}")


class TomlReader:
    """Takes a file apart. Raises Problem (exit code 2) where it cannot be read or does not fit."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """The whole file."""
        try:
            text = self.path.read_text(encoding="utf-8")
            if ENDLESS_NAME.search(text):
                raise self.problem("it is nested too deep.")
            content = tomllib.loads(text)
            has_zero_byte = _has_zero_byte(content)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise Problem(f"{self.path} cannot be read: {reason}.", None, EXIT_USAGE) from None
        except tomllib.TOMLDecodeError as error:
            raise Problem(f"{self.path} is not TOML: {error}.", None, EXIT_USAGE) from None
        except RecursionError:
            raise self.problem("it is nested too deep.") from None
        except ValueError:
            raise self.problem("a number in it is too long.") from None
        if has_zero_byte:
            raise self.problem("a text in it has a zero byte.")
        return content

    def settings(self, table: dict[str, Any], name: str, types: Table[str, type]) -> Any:
        """A table whose keys each have a type of their own."""
        settings = self.table(table, name)
        self.known(settings, name, set(types))
        return {key: self.value(settings, key, types[key], None, name) for key in settings}

    def values(
        self,
        table: dict[str, Any],
        name: str,
        value_type: type,
        where: str = "",
        allowed: set[str] | None = None,
    ) -> Any:
        """A table whose values are of one type."""
        values = self.table(table, name, where)
        path = _joined(where, name)
        if allowed is not None:
            self.known(values, path, allowed)
        return {key: self.value(values, key, value_type, None, path) for key in values}

    def table(self, table: dict[str, Any], name: str, where: str = "") -> dict[str, Any]:
        """A table in a table; empty where there is none."""
        value: dict[str, Any] = self.value(table, name, dict, {}, where)
        return value

    def value(
        self, table: dict[str, Any], name: str, value_type: type, default: Any, where: str = ""
    ) -> Any:
        """A value of that type."""
        value = table.get(name, default)
        # In Python a boolean is an integer; in TOML it is not.
        fits = isinstance(value, value_type) and isinstance(value, bool) == (value_type is bool)
        if name in table and not fits:
            raise self.problem(
                f"{_joined(where, name)} is {value!r}, and {TYPES[value_type]} was expected."
            )
        return value

    def known(self, table: dict[str, Any], where: str, allowed: set[str]) -> None:
        """Refuses keys that mean nothing."""
        for name in table:
            if name not in allowed:
                raise self.problem(
                    f"{_joined(where, name)} is not known.",
                    f"Known {f'in [{where}]' if where else 'there'}: {', '.join(sorted(allowed))}",
                )

    def problem(self, what: str, hint: str | None = None) -> Problem:
        """What is wrong with the file."""
        return Problem(f"{self.path}: {what}", hint, EXIT_USAGE)


def _has_zero_byte(value: Any) -> bool:
    """The database takes none, in whatever it is."""
    if isinstance(value, dict):
        return any(_has_zero_byte(each) for item in value.items() for each in item)
    if isinstance(value, list):
        return any(map(_has_zero_byte, value))
    return isinstance(value, str) and "\0" in value


def _joined(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
