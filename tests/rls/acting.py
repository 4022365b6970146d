"""A request as PostgREST makes it: role, claims and search_path of one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.api import Caller

Session = psycopg.Connection[Any]


@contextmanager
def acting_as(
    db: Session, caller: Caller, *, method: str = "POST", keep: bool = False
) -> Iterator[Session]:
    """One request of that caller; what it writes is taken back unless it is to be kept."""
    with db.transaction(force_rollback=not keep):
        if method == "GET":
            db.execute("set transaction read only")
        db.execute(
            "select set_config('search_path', 'api', true), set_config('role', %s, true),"
            " set_config('request.jwt.claims', %s, true), set_config('request.method', %s, true)",
            (caller.role, json.dumps({"role": caller.role, **caller.claims}), method),
        )
        yield db


@dataclass(frozen=True)
class Result:
    """What a caller gets for a statement: rows (as text) and their number, or an error in all its
    words."""

    state: str
    rows: int
    text: str


def run(
    db: Session,
    caller: Caller,
    statement: str,
    values: Sequence[object] | Mapping[str, object] = (),
    *,
    keep: bool = False,
) -> Result:
    """Run a statement as that caller."""
    try:
        with acting_as(db, caller, keep=keep):
            cursor = db.execute(statement.encode(), values)
            rows = cursor.fetchall() if cursor.description else []
            db.execute("set constraints all immediate")
            return Result("00000", cursor.rowcount, "\n".join(map(str, rows)))
    except psycopg.Error as error:
        words = (
            error.diag.message_primary,
            error.diag.message_detail,
            error.diag.message_hint,
            error.diag.constraint_name,
        )
        return Result(error.sqlstate or "", 0, "\n".join(str(each or "") for each in words))
