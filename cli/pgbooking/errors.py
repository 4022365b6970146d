"""Errors, translated once: by SQLSTATE, into one clear sentence, a hint and an exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

EXIT_FOUND = 1
"""A command did its work and found something, or could not do all of it."""

EXIT_USAGE = 2
"""The command line (or the environment) asks for something that cannot be."""

EXIT_NOT_CONNECTED = 3
"""No connection to the database, or it was lost."""


class Problem(Exception):
    """Something its reader can act on: one sentence, perhaps a hint, an exit code."""

    def __init__(self, message: str, hint: str | None = None, exit_code: int = EXIT_FOUND) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


@dataclass(frozen=True)
class Explanation:
    """What a user reads instead of a traceback."""

    message: str
    hint: str | None
    exit_code: int


NOT_INSTALLED = "pgbooking is not installed in this database, or an older version of it is."
TRY_AGAIN = "Nothing of it was kept. Run the command again."
UNDEFINED = {"3F000", "42P01", "42703", "42704", "42883"}
CONNECTION_LOST = {"57P01", "57P02", "57P03"}

# SQLSTATE → (sentence, hint). Where None, PostgreSQL's own words say it better than we could.
SENTENCES: dict[str, tuple[str | None, str | None]] = {
    "23505": ("The same thing is there already.", None),
    "23503": ("Something that this row names does not exist, or something still needs it.", None),
    "42501": (None, "Log in as a role that may, or as the one that migrated this database."),
    "40001": ("Another session changed the same calendar at the same time.", TRY_AGAIN),
    "40P01": ("Another session and this one waited for each other.", TRY_AGAIN),
    "55P03": ("Another session holds a lock for longer than this one may wait.", TRY_AGAIN),
    "57014": ("The statement was cancelled, or ran for longer than it may.", None),
    "53300": ("The server accepts no more connections at the moment.", "Try again later."),
    "53100": ("The server's disk is full.", None),
}


def as_sentence(constraint_name: str) -> str:
    """Constraints are named as the truth they keep: `end_time_is_after_start_time`."""
    return constraint_name.replace("_", " ")


def explain(error: BaseException) -> Explanation:
    """The sentence, the hint and the exit code for any error that reaches a user."""
    import psycopg

    if isinstance(error, Problem):
        return Explanation(error.message, error.hint, error.exit_code)
    if isinstance(error, psycopg.Error):
        return _explain_database_error(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Explanation(f"{where}{error.strerror or error}", None, EXIT_FOUND)
    return Explanation(
        f"pgbooking failed in a way it should not: {type(error).__name__}: {error}",
        "PGBOOKING_TRACEBACK=1 shows where. Please report it.",
        EXIT_FOUND,
    )


def _explain_database_error(error: psycopg.Error) -> Explanation:
    import psycopg

    diagnostics = error.diag
    state = error.sqlstate or ""
    said = diagnostics.message_primary or str(error).strip() or type(error).__name__
    hint = diagnostics.message_hint or diagnostics.message_detail

    lost = not state and isinstance(error, psycopg.OperationalError)
    if lost or state.startswith("08") or state in CONNECTION_LOST:
        return Explanation(
            f"The connection to the database was lost: {said}", None, EXIT_NOT_CONNECTED
        )
    if state in UNDEFINED:
        return Explanation(NOT_INSTALLED, f"pgbooking migrate ({said})", EXIT_FOUND)
    if state in {"23514", "23P01"} and diagnostics.constraint_name:
        rule = as_sentence(diagnostics.constraint_name)
        whose = diagnostics.table_name or diagnostics.datatype_name
        return Explanation(f"{whose} keeps a rule: {rule}.", hint, EXIT_FOUND)
    if state == "23502":
        return Explanation(
            f"{diagnostics.table_name} needs a value in {diagnostics.column_name}.",
            hint,
            EXIT_FOUND,
        )
    sentence, default_hint = SENTENCES.get(state, (None, None))
    if state in {"23505", "23503"} and diagnostics.constraint_name:
        sentence = f"{sentence} The rule: {as_sentence(diagnostics.constraint_name)}."
    return Explanation(sentence or said, default_hint or hint, EXIT_FOUND)
