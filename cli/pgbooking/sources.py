"""The SQL that ships with pgbooking: where it lies, and what a file of it creates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path


def migrations_folder() -> Path:
    """The migrations: beside the modules in an installed wheel, else the checkout's."""
    return _folder("migrations")


def sql_folder() -> Path:
    """The code that the engine migration is made of."""
    return _folder("sql")


def sql_files(folder: Path | None = None) -> list[Path]:
    """Every file of sql/, in the order in which it is applied: that of its path."""
    top = folder or sql_folder()
    return sorted(top.rglob("*.sql"), key=lambda path: path.relative_to(top).as_posix())


@dataclass(frozen=True)
class Created:
    """One object that a file creates. Triggers and policies belong to a table."""

    kind: str
    name: str
    table: str | None = None

    @property
    def drop(self) -> str:
        """The statement that takes it away again. No function here is overloaded."""
        on_table = f" on {self.table}" if self.table else ""
        return f"drop {self.kind} {self.name}{on_table};"


def created_objects(text: str) -> list[Created]:
    """What the SQL text creates, in its order."""
    created = []
    for statement in without_texts(text).split(";"):
        match = CREATE.match(statement)
        if match:
            kind = match["kind"].lower()
            table = ON_TABLE.search(statement) if kind in {"trigger", "policy"} else None
            created.append(Created(kind, match["name"], table and table["table"]))
    return created


def without_texts(text: str) -> str:
    """The text without comments, string literals and dollar-quoted bodies."""
    return NOT_CODE.sub(" ", text)


NOT_CODE = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)

CREATE = re.compile(
    r"""
    \s* create \s+ (?: or \s+ replace \s+ )?
    (?: unlogged \s+ | unique \s+ | constraint \s+ | materialized \s+ )?
    (?P<kind> aggregate | domain | extension | function | index | operator | policy | procedure
            | role | schema | sequence | table | trigger | type | view ) \s+
    (?: concurrently \s+ )? (?: if \s+ not \s+ exists \s+ )?
    (?P<name> \w+ (?: \. \w+ )? )
    """,
    re.VERBOSE | re.IGNORECASE,
)

ON_TABLE = re.compile(r"\son\s+(?P<table>\w+\.\w+)", re.IGNORECASE)


def _folder(name: str) -> Path:
    package = Path(str(resources.files("pgbooking")))
    installed = package / name
    return installed if installed.is_dir() else package.parents[1] / name
