"""Where a database has drifted from the release: rights and definitions that differ from those that
were reviewed, and the SQL that brings them back."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

import psycopg

from pgbooking.catalog import Definition, Privilege, differences
from pgbooking.doctor_finding import Finding, Level
from pgbooking.sources import created_objects, migrations_folder, sql_files, sql_folder

ROUTINES = {"function", "procedure", "aggregate"}
RELATIONS = {"table", "view", "materialized view", "foreign table"}
PARTS = {"column", "constraint", "trigger"}
NOBODY = "(nobody)"

# Which check tells of which kind of object.
CHECKS = {
    "function": "functions",
    "procedure": "functions",
    "aggregate": "functions",
    "view": "views",
    "materialized view": "views",
    "table": "tables",
    "foreign table": "tables",
    "column": "columns",
    "constraint": "constraints",
    "index": "indexes",
    "trigger": "triggers",
}

COLUMN = re.compile(
    r"(?P<type>.+?)(?P<not_null> not null)?(?P<generated> generated .+)?( default (?P<default>.+))?"
)


def findings(connection: psycopg.Connection) -> Iterator[Finding]:
    """Objects that are missing, were added, or are defined otherwise than in this release; then
    rights, policies and memberships that differ from the matrix.

    What the first tell (that an object is missing or new, its columns, as whom a function runs) the
    others do not tell again.
    """
    wanted, found = _definitions(connection)
    strangers = _strangers(wanted, found)
    for kind, name in sorted(wanted.keys() | found.keys()):
        definitions = wanted.get((kind, name)), found.get((kind, name))
        if not _is_part_of(kind, name, definitions, strangers):
            yield _definition_finding(kind, name, *definitions)

    missing, extra = _privileges(connection, strangers)
    yield from _membership_findings(missing, extra)
    yield from _policy_findings(missing, extra)
    yield from _switch_findings(missing)
    yield from _grant_findings(missing, extra)


Definitions = dict[tuple[str, str], str]


def _definitions(connection: psycopg.Connection) -> tuple[Definitions, Definitions]:
    """What differs: (kind, object) → definition in the release, and in this database."""
    sides: tuple[Definitions, Definitions] = {}, {}
    for difference in differences(connection, Definition):
        line = difference.line
        sides[difference.kind == "extra"][line.kind, line.object] = line.definition
    return sides


def _privileges(
    connection: psycopg.Connection, strangers: set[str]
) -> tuple[set[Privilege], set[Privilege]]:
    """What differs: lines of the matrix that are missing here, and lines that are extra."""
    sides: tuple[set[Privilege], set[Privilege]] = set(), set()
    for difference in differences(connection, Privilege):
        line = difference.line
        if line.kind in ROUTINES:
            line = replace(line, what="")
        is_told = {line.object, line.object.split(": ")[0]} & strangers
        if line.action != "columns" and not is_told:
            sides[difference.kind == "extra"].add(line)
    wanted, found = sides
    return wanted - found, found - wanted


def _strangers(wanted: Definitions, found: Definitions) -> set[str]:
    """Relations and routines that only one side has."""
    whole = RELATIONS | ROUTINES
    return {name for kind, name in wanted.keys() ^ found.keys() if kind in whole}


def _is_part_of(
    kind: str, name: str, definitions: tuple[str | None, str | None], strangers: set[str]
) -> bool:
    """Whether it came or went with its table."""
    if kind in PARTS:
        return name.split(": ")[0] in strangers
    text = definitions[0] or definitions[1] or ""
    return kind == "index" and any(f" ON {stranger} " in text for stranger in strangers)


def _definition_finding(kind: str, name: str, wanted: str | None, found: str | None) -> Finding:
    level: Level = "failure"
    if wanted is None:
        message = f"The {kind} {name} is not part of this release."
        advice = _drop(kind, name)
        if kind == "index" and found and not found.startswith("CREATE UNIQUE"):
            level = "warning"
    elif found is None:
        message = f"The {kind} {name} is missing."
        advice = _create(kind, name, wanted)
    else:
        message = f"The {kind} {name} differs from this release."
        advice = _change(kind, name, wanted, found)
    return Finding(CHECKS[kind], level, message, advice)


def _drop(kind: str, name: str) -> str:
    table, _, part = name.partition(": ")
    match kind:
        case "trigger":
            return f"drop trigger {part} on {table};"
        case "column" | "constraint":
            return f"alter table {table} drop {kind} {part};"
        case "index":
            return f"drop index concurrently {name};"
        case "table" | "foreign table":
            return f"alter {kind} {name} set schema public;"
    return f"drop {kind} {name};"


def _create(kind: str, name: str, wanted: str) -> str:
    table, _, part = name.partition(": ")
    match kind:
        case "table":
            return "Restore it from a backup: its rows went with it."
        case "column" | "constraint":
            return f"alter table {table} add {kind} {part} {wanted};"
        case "index":
            return wanted.replace(" INDEX ", " INDEX CONCURRENTLY ", 1) + ";"
        case "trigger":
            return _run_source(part, table)
    return _run_source(name.split("(")[0], with_grants=True)


def _change(kind: str, name: str, wanted: str, found: str) -> str:
    table, _, part = name.partition(": ")
    match kind:
        case "table":
            return f"alter table {name} set {'unlogged' if wanted == 'unlogged' else 'logged'};"
        case "column":
            return _change_column(table, part, wanted, found)
        case "constraint":
            return f"alter table {table} drop constraint {part}, add constraint {part} {wanted};"
        case "index":
            return f"{_drop(kind, name)}\n{_create(kind, name, wanted)}"
    return _create(kind, name, wanted)


def _change_column(table: str, column: str, wanted: str, found: str) -> str:
    should, does = _clauses(wanted), _clauses(found)
    actions = []
    if should["type"] != does["type"]:
        actions.append(f"type {should['type']}")
    if should["not_null"] != does["not_null"]:
        actions.append(f"{'set' if should['not_null'] else 'drop'} not null")
    if should["default"] != does["default"]:
        default = should["default"]
        actions.append("drop default" if default is None else f"set default {default}")
    if should["generated"] != does["generated"]:
        return f"It should be: {wanted}."
    return f"alter table {table} {', '.join(f'alter column {column} {each}' for each in actions)};"


def _clauses(definition: str) -> dict[str, str | None]:
    match = COLUMN.fullmatch(definition)
    return match.groupdict() if match else {}


def _run_source(name: str, table: str | None = None, *, with_grants: bool = False) -> str:
    """The command that defines the object anew from the file of sql/ that has it. It soon gives up
    waiting for a lock, for which bookings would wait behind it."""
    for file in sql_files():
        for created in created_objects(file.read_text()):
            if (created.name, created.table) == (name, table):
                files = [file, sql_folder() / "90_grants.sql"] if with_grants else [file]
                return " ".join(
                    [
                        'psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -1',
                        "-c \"set lock_timeout = '3s'; set role booking_owner\"",
                        *(f"-f {shlex.quote(str(each))}" for each in files),
                    ]
                )
    return f"Run its definition anew as booking_owner; it stands in {migrations_folder()}."


def _membership_findings(wanted: set[Privilege], found: set[Privilege]) -> Iterator[Finding]:
    should, does = _memberships(wanted), _memberships(found)
    for member, role in sorted(should ^ does):
        if (member, role) in does:
            message = f"The role {member} is a member of {role}, and so has its rights."
            yield Finding("roles", "failure", message, f"revoke {role} from {member};")
        else:
            message = f"The role {member} is no member of {role}."
            yield Finding("roles", "failure", message, f"grant {role} to {member};")


def _memberships(lines: Iterable[Privilege]) -> set[tuple[str, str]]:
    return {
        (line.role, role)
        for line in lines
        if line.kind == "role" and line.what != NOBODY
        for role in line.what.split(", ")
    }


def _policy_findings(wanted: set[Privilege], found: set[Privilege]) -> Iterator[Finding]:
    should = {line.object for line in wanted if line.kind == "policy"}
    does = {line.object for line in found if line.kind == "policy"}
    for name in sorted(should | does):
        table, _, policy = name.partition(": ")
        if name not in should:
            fault, advice = "is not part of this release", f"drop policy {policy} on {table};"
        else:
            fault = "differs from this release" if name in does else "is missing"
            advice = _run_source(policy, table)
        yield Finding("policies", "failure", f"On {table} the policy {policy} {fault}.", advice)


def _switch_findings(wanted: set[Privilege]) -> Iterator[Finding]:
    for line in sorted(wanted):
        if line.action == "row-level security":
            advice = (
                f"alter table {line.object} enable row level security, no force row level security;"
            )
            message = f"Row-level security of {line.object} is not as released: {line.what}."
            yield Finding("row_level_security", "failure", message, advice)
        elif line.action == "security_invoker":
            advice = f"alter view {line.object} set (security_invoker = {line.what});"
            message = f"The view {line.object} does not run as its caller."
            yield Finding("views", "failure", message, advice)


def _grant_findings(wanted: set[Privilege], found: set[Privilege]) -> Iterator[Finding]:
    sides: defaultdict[tuple[str, str, str], tuple[list[Privilege], list[Privilege]]]
    sides = defaultdict(lambda: ([], []))
    for side, lines in enumerate((found, wanted)):
        for line in sorted(lines):
            if line.kind not in {"role", "policy"} and line.role not in {"", NOBODY}:
                sides[line.kind, line.object, line.role][side].append(line)
    for (kind, name, role), (extra, missing) in sorted(sides.items()):
        said = [f"may {_right(line)}, which is not reviewed" for line in extra]
        said += [f"may not {_right(line)}" for line in missing]
        advice = [_statement("revoke", line) for line in extra]
        advice += [_statement("grant", line) for line in missing]
        where = name if kind == "default privileges" else f"{kind} {name}"
        message = f"{role} {' and '.join(said)}: {where}."
        yield Finding("privileges", "failure", message, " ".join(advice))


def _right(line: Privilege) -> str:
    columns = "" if line.what in {"", "(all)"} else f" ({line.what})"
    return line.action + columns


def _statement(verb: str, line: Privilege) -> str:
    right = _right(line).replace(" with grant option", "")
    role = f"{'to' if verb == 'grant' else 'from'} {line.role};"
    if line.kind == "default privileges":
        words = line.object.split()
        if words[1] == "objects":
            return f"\\ddp shows it; alter default privileges … {verb} {right} … {role}"
        return (
            f"alter default privileges for role booking_owner {verb} {right} on {words[1]} {role}"
        )
    kind = "" if line.kind in RELATIONS else f"{line.kind} "
    return f"{verb} {right} on {kind}{line.object} {role}"
