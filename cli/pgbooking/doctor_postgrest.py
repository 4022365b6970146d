"""PostgREST's configuration: that it exposes schema "api" and nothing else, and can be relied on.

What the database says (settings "pgrst.…" of the role authenticator) wins over the file, unless
that has db-config = false. Environment variables, which win over the file, are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pgbooking.doctor_finding import Finding, Level
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.rows import fetch, fetch_value

# Sessions that PostgREST should leave to migrations, jobs and people.
OTHER_SESSIONS = 10

LINE = re.compile(
    r"""
    \s* (?: (?P<name> [A-Za-z][\w.-]* ) \s* = \s*
      (?: "(?P<text> (?: [^"\\] | \\. )* )" | (?P<word> [^\s"\#]+ ) ) \s* )?
    (?: \#.* )?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Setting:
    """One setting, and the SQL that sets it ("alter role …"; None: it stands in the file)."""

    name: str
    value: str
    target: str | None = None


def read_config(file: Path) -> dict[str, Setting]:
    """The settings of PostgREST's configuration file.

    Raises Problem (exit code 2) where there is no such file, or a line is none of a configuration.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Problem(
            f"{file} cannot be read: {reason}.",
            "--postgrest-config takes PostgREST's configuration file.",
            EXIT_USAGE,
        ) from None
    settings = {}
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        if match is None:
            raise Problem(
                f"{file}, line {number} is no line of PostgREST's configuration.",
                'Expected: name = "value"',
                EXIT_USAGE,
            )
        if match["name"]:
            value = match["word"] if match["text"] is None else match["text"]
            settings[match["name"]] = Setting(match["name"], value)
    return settings


def postgrest_findings(
    connection: psycopg.Connection, file: dict[str, Setting] | None
) -> Iterator[Finding]:
    """What is wrong with PostgREST's configuration. Without a file, only what the database says of
    it is looked at."""
    settings = dict(file or {})
    if file is None or _value(file, "db-config", "true") != "false":
        stored = fetch(connection, "doctor_postgrest", Setting)
        settings |= {setting.name: setting for setting in stored}
    if not settings:
        message = "Not in this database; --postgrest-config FILE checks the file."
        yield Finding("postgrest", "ok", message)
        return

    is_whole = file is not None
    schemas = _names(_value(settings, "db-schemas", "public" if is_whole else "api"))
    others = [] if "db-schemas" not in settings else [s for s in schemas if s != "booking"]
    wanted = ", ".join(others if "api" in others else [*others, "api"])
    if "booking" in schemas:
        yield _wrong(settings, "db-schemas", wanted, "failure", "exposes booking")
    elif "api" not in schemas:
        yield _wrong(settings, "db-schemas", wanted, "failure", "does not expose api")
    if "booking" in _names(_value(settings, "db-extra-search-path", "public")):
        why = "makes what is in booking callable"
        yield _wrong(settings, "db-extra-search-path", "", "failure", why)
    if _value(settings, "db-plan-enabled", "false") == "true":
        why = "shows callers estimates that are made of every tenant's rows"
        yield _wrong(settings, "db-plan-enabled", "false", "failure", why)
    if _value(settings, "db-tx-end", "commit") != "commit":
        why = "does not keep every booking that was acknowledged"
        yield _wrong(settings, "db-tx-end", "commit", "failure", why)
    if _value(settings, "db-anon-role", "anon") != "anon":
        why = "gives callers without a token another role's rights"
        yield _wrong(settings, "db-anon-role", "anon", "failure", why)
    elif "db-anon-role" not in settings and is_whole:
        yield _wrong(settings, "db-anon-role", "anon", "warning", "lets nobody in without a token")
    is_asked = "db-pre-request" in settings or is_whole
    if is_asked and _value(settings, "db-pre-request", "") != "api.pre_request":
        why = "does not say how long answers may be cached"
        yield _wrong(settings, "db-pre-request", "api.pre_request", "warning", why)
    if "db-max-rows" not in settings and is_whole:
        yield _wrong(settings, "db-max-rows", "1000", "warning", "lets one answer be of any size")
    pool = _value(settings, "db-pool", "10")
    most = fetch_value(connection, "doctor_connections") - OTHER_SESSIONS
    if pool.isdecimal() and int(pool) > most:
        why = f"leaves less than {OTHER_SESSIONS} of the server's sessions to others"
        yield _wrong(settings, "db-pool", str(max(most, 1)), "warning", why)


def _wrong(settings: dict[str, Setting], name: str, wanted: str, level: Level, why: str) -> Finding:
    setting = settings.get(name)
    is_so = f'"{setting.value}"' if setting else "not set"
    if setting and setting.target:
        advice = (
            f"{setting.target}set pgrst.{name.replace('-', '_')} = '{wanted}';"
            " notify pgrst, 'reload config';"
        )
    else:
        is_bare = wanted in {"true", "false"} or wanted.isdecimal()
        value = wanted if is_bare else f'"{wanted}"'
        advice = f"In PostgREST's configuration: {name} = {value}"
    return Finding("postgrest", level, f"{name} is {is_so}: PostgREST {why}.", advice)


def _value(settings: dict[str, Setting], name: str, default: str) -> str:
    setting = settings.get(name)
    return default if setting is None else setting.value


def _names(value: str) -> list[str]:
    return [name.strip().strip('"') for name in value.split(",")]
