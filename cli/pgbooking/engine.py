"""`make engine`: the newest migrations, written from sql/.

sql/ is code: re-runnable files, one object each. This compares it with what the released engine
migrations have made and writes what differs, and no more, as migrations with rollbacks; so that
stock yoyo applies the engine, and a DBA reads exactly what will run. In this order:

    NNNN.engine              functions and new views, and whatever they grant
    NNNN.engine_<table>      one for each table with changed triggers or policies, or changed view:
                             these lock the table, so each waits for a moment only
    NNNN.engine_afterwards   what is no more, and the access matrix whole

It also writes migrations/CHECKSUMS.

    python -m pgbooking.engine                    write
    python -m pgbooking.engine --check            exit 1 where the files on disk differ
    python -m pgbooking.engine --release 0.1.0    from now on these migrations are never edited
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlparse

from pgbooking.errors import EXIT_FOUND, EXIT_USAGE, Problem
from pgbooking.output import print_error
from pgbooking.sources import (
    Created,
    created_objects,
    migrations_folder,
    sql_files,
    sql_folder,
)

CHECKSUMS = "CHECKSUMS"
RELEASED = "# released"
CHECKSUMS_HEADER = (
    f'# sha256 of each migration. A file above a line "{RELEASED} …" is never edited again.'
)
GRANTS = "90_grants.sql"

FORWARD = """\
-- The engine: what sql/ says and the last release does not. Written by `make engine`; edit sql/.
-- depends: {previous}

set local role booking_owner;

"""

ROLLBACK = """\
-- Puts the engine back to what it was. Written by `make engine`.

set local role booking_owner;

"""

# Whoever comes after a statement that waits for a table waits behind it.
LOCK_TIMEOUT = """\
do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

"""

# Writers have locked a calendar before they calculate. Whoever is in the middle of it finishes
# first, and nobody begins until all functions are those of one release; what the API asks
# meanwhile, it asks once more (attempt, answer).
LOCK_CALENDARS = (
    LOCK_TIMEOUT
    + """\
do $$
begin
  if to_regclass('booking.calendars') is not null then
    lock table booking.calendars in exclusive mode;
  end if;
end
$$;

"""
)

BODIES = "set local check_function_bodies = off;\n\n"

# Everything else is state, and state belongs into a migration written by hand.
FUNCTIONS = {"function", "procedure"}
ON_TABLES = {"trigger", "policy"}
CODE = FUNCTIONS | ON_TABLES | {"view"}

ENGINE = re.compile(r"\d{4}\.engine(_\w+)?(\.rollback)?\.sql")
LEADING_COMMENTS = re.compile(r"\A(?:\s|--[^\n]*(?:\n|\Z))*")
SECTION = re.compile(r"^-- sql/(\S+)$\n", re.MULTILINE)
COMMENT_ON = re.compile(r"comment on (?P<kind>\w+) (?P<name>\w+\.\w+)", re.IGNORECASE)
COMMENT_IS = re.compile(r"comment on .*? is(?=\s)", re.DOTALL | re.IGNORECASE)
DROP = re.compile(
    r"drop (?P<kind>\w+) (?P<name>\w+(?:\.\w+)?)(?: on (?P<table>\w+\.\w+))?\Z", re.IGNORECASE
)
SIGNATURE = re.compile(r"create or replace (.*?)\blanguage\b", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Piece:
    """One object: where sql/ has it, and the statements that make it, comments included."""

    file: str
    created: Created
    statements: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n\n".join(self.statements)

    @property
    def commented(self) -> set[str]:
        """The beginnings of its comments, as far as "is"."""
        return {
            " ".join(match[0].split())
            for match in (COMMENT_IS.match(_bare(each)) for each in self.statements)
            if match
        }

    def is_like(self, other: Piece) -> bool:
        """Whether both make the same object, whatever the files' own comments say."""
        return [_bare(each) for each in self.statements] == [
            _bare(each) for each in other.statements
        ]

    def replaces(self, other: Piece) -> bool:
        """Whether `create or replace` can turn the other into this one."""
        if self.created.kind == "view":
            return False
        return _signature(self) == _signature(other)


@dataclass
class Code:
    """All objects in the order in which they are made, and the access matrix."""

    pieces: dict[Created, Piece] = field(default_factory=dict)
    grants: list[str] = field(default_factory=list)

    def read(self, file: str, text: str, ignored: tuple[str, ...] = ()) -> None:
        """Take in a file of sql/, or a section of a released engine migration, in which there are
        statements to be ignored."""
        statements = sqlparse.split(text)
        if file == GRANTS:
            self.grants = statements
            return
        before: list[str] = []
        for statement in statements:
            bare = _bare(statement).rstrip(";")
            if not bare:
                continue  # a comment behind the last statement
            if commented := COMMENT_ON.match(bare):
                key = Created(commented["kind"].lower(), commented["name"])
                piece = self.pieces[key]
                self.pieces[key] = Piece(file, key, (*piece.statements, statement))
            elif dropped := DROP.match(bare):
                del self.pieces[Created(dropped["kind"], dropped["name"], dropped["table"])]
            elif bare.lower().startswith("drop "):
                before.append(statement)  # drop policy if exists, before its create
            elif created := created_objects(bare + ";"):
                [key] = created
                if key.kind not in CODE:
                    raise Problem(
                        f"sql/{file} creates a {key.kind} ({key.name}).",
                        "sql/ is code only: functions, procedures, views, triggers, policies.",
                    )
                self.pieces.pop(key, None)
                self.pieces[key] = Piece(file, key, (*before, statement))
                before = []
            elif not bare.lower().startswith(ignored):
                raise Problem(f"sql/{file} has a statement that makes no object: {bare[:60]}")

    @property
    def additions(self) -> list[str]:
        """What the access matrix grants, without what it takes away first."""
        return [each for each in self.grants if not _bare(each).lower().startswith("revoke ")]

    def has_grants_of(self, other: Code) -> bool:
        """Whether both have the same access matrix."""
        return [_bare(each) for each in self.grants] == [_bare(each) for each in other.grants]


@dataclass(frozen=True)
class Migration:
    """A migration to write: its name without a number, and both directions."""

    name: str
    forward: str
    rollback: str


def engine_migrations(released: Code, wanted: Code) -> list[Migration]:
    """What leads from the code of the last release to that of sql/, and back."""
    new = [each for key, each in wanted.pieces.items() if key not in released.pieces]
    gone = [each for key, each in released.pieces.items() if key not in wanted.pieces]
    changed = [
        (released.pieces[key], each)
        for key, each in wanted.pieces.items()
        if key in released.pieces and not each.is_like(released.pieces[key])
    ]
    found = [
        _functions(released, wanted, new, changed),
        *_tables_and_views(released, wanted, new, changed, gone),
        _afterwards(released, wanted, gone),
    ]
    return [each for each in found if each]


def _functions(
    released: Code, wanted: Code, new: list[Piece], changed: list[tuple[Piece, Piece]]
) -> Migration | None:
    """Functions and new views. New grants only add, because what is replaced later needs the old
    ones until then."""
    made = [each for each in new if each.created.kind not in ON_TABLES]
    replaced = [pair for pair in changed if pair[1].created.kind in FUNCTIONS]
    grants = bool(made) or any(not after.replaces(before) for before, after in replaced)
    grants = grants or not wanted.has_grants_of(released)
    if not (made or replaced or grants):
        return None
    position = {key: number for number, key in enumerate(wanted.pieces)}
    forward = sorted(
        [(None, piece) for piece in made] + list(replaced),
        key=lambda pair: position[pair[1].created],
    )
    are_others = any(not after.replaces(before) for before, after in replaced)
    return Migration(
        "engine",
        (LOCK_CALENDARS if are_others else "")
        + _sections((piece, _replacing(before, piece)) for before, piece in forward)
        + (_statements(wanted.additions) if grants else ""),
        (LOCK_CALENDARS if are_others or made else "")
        + _sections((before, _replacing(after, before)) for before, after in replaced)
        + _statements(each.created.drop for each in reversed(made))
        + (_section(GRANTS, _statements(released.grants)) if grants else ""),
    )


def _tables_and_views(
    released: Code,
    wanted: Code,
    new: list[Piece],
    changed: list[tuple[Piece, Piece]],
    gone: list[Piece],
) -> list[Migration]:
    """One for each table whose triggers or policies change, and for each view that changes."""
    tables = sorted(
        {
            piece.created.table
            for piece in [*new, *gone, *(after for _, after in changed)]
            if piece.created.table
        }
    )
    migrations = []
    for table in tables:
        made = [each for each in new if each.created.table == table]
        replaced = [pair for pair in changed if pair[1].created.table == table]
        dropped = [each for each in gone if each.created.table == table]
        # The strongest lock at once: to ask for more later would be a deadlock with whoever has
        # read meanwhile and now waits to write. Replacing triggers leaves readers alone.
        only_replaces = all(after.created.kind == "trigger" for _, after in replaced)
        mode = "access exclusive" if made or dropped or not only_replaces else "share row exclusive"
        # In a block, because Supabase's tools run a file without a transaction of their own.
        lock = f"do $$ begin lock table {table} in {mode} mode; end $$;\n\n"
        migrations.append(
            Migration(
                f"engine_{table.split('.')[1]}",
                LOCK_TIMEOUT
                + lock
                + _statements(each.created.drop for each in dropped)
                + _sections(
                    (each, each.text) for each in [*made, *(after for _, after in replaced)]
                ),
                LOCK_TIMEOUT
                + lock
                + _statements(each.created.drop for each in made)
                + _sections(
                    (each, each.text) for each in [*dropped, *(before for before, _ in replaced)]
                ),
            )
        )
    for before, after in changed:
        if after.created.kind == "view":
            name = after.created.name
            migrations.append(
                Migration(
                    f"engine_{name.split('.')[1]}_view",
                    LOCK_TIMEOUT
                    + _sections([(after, _replacing(before, after))])
                    + _statements(_grants_on(name, wanted)),
                    LOCK_TIMEOUT
                    + _sections([(before, _replacing(after, before))])
                    + _statements(_grants_on(name, released)),
                )
            )
    return migrations


def _afterwards(released: Code, wanted: Code, gone: list[Piece]) -> Migration | None:
    """What nothing asks for any more: objects, and rights."""
    dropped = [each for each in gone if each.created.kind not in ON_TABLES]
    if not dropped and wanted.has_grants_of(released):
        return None
    return Migration(
        "engine_afterwards",
        _statements(each.created.drop for each in reversed(dropped))
        + _section(GRANTS, _statements(wanted.grants)),
        _sections((each, each.text) for each in dropped) + _statements(released.additions),
    )


def _replacing(before: Piece | None, piece: Piece) -> str:
    if before is None:
        return piece.text
    if not piece.replaces(before):
        return f"{before.created.drop}\n\n{piece.text}"
    # A comment stays until it is taken away.
    gone = before.commented - piece.commented
    return "\n\n".join([piece.text, *(f"{each} null;" for each in sorted(gone))])


def _grants_on(name: str, code: Code) -> list[str]:
    pattern = re.compile(rf"\b{re.escape(name)}\b")
    return [each for each in code.additions if pattern.search(_bare(each))]


def _sections(texts: Iterable[tuple[Piece, str]]) -> str:
    """Each piece's text under the name of its file."""
    written = ""
    last_file = None
    for piece, text in texts:
        written += (
            f"-- sql/{piece.file}\n\n{text}\n\n" if piece.file != last_file else f"{text}\n\n"
        )
        last_file = piece.file
    return written


def _section(file: str, text: str) -> str:
    return f"-- sql/{file}\n\n{text}"


def _statements(statements: Iterable[str]) -> str:
    return "".join(f"{each}\n\n" for each in statements)


def _bare(statement: str) -> str:
    return LEADING_COMMENTS.sub("", statement).strip()


def _signature(piece: Piece) -> str:
    """What `create or replace` cannot change: name, parameters, result."""
    match = SIGNATURE.match(_bare(piece.statements[0]))
    return " ".join(match[1].split()) if match else ""


def wanted_code(sql: Path) -> Code:
    """What sql/ says."""
    code = Code()
    for file in sql_files(sql):
        code.read(file.relative_to(sql).as_posix(), file.read_text())
    return code


def released_code(migrations: Path) -> Code:
    """What the engine migrations of all releases have made."""
    code = Code()
    for name in sorted(released_files(migrations)):
        if ENGINE.fullmatch(name) and not name.endswith(".rollback.sql"):
            parts = SECTION.split((migrations / name).read_text())
            for file, text in zip(["", *parts[1::2]], parts[0::2], strict=True):
                code.read(file, text, ("do ", "grant ", "lock ", "set "))
    return code


def engine_files(migrations: Path, sql: Path) -> dict[Path, str]:
    """The engine migrations, their rollbacks and CHECKSUMS: path → text.

    They take the numbers after the newest migration written by hand.
    """
    released = released_files(migrations)
    previous = _newest_migration(migrations, released)
    written = {}
    for each in engine_migrations(released_code(migrations), wanted_code(sql)):
        header = FORWARD.format(previous=previous)
        previous = f"{int(previous[:4]) + 1:04d}.{each.name}"
        path = migrations / f"{previous}.sql"
        written[path] = f"{header}{BODIES}{each.forward}".strip() + "\n"
        written[path.with_suffix(".rollback.sql")] = (
            f"{ROLLBACK}{BODIES}{each.rollback}".strip() + "\n"
        )
    return written | {migrations / CHECKSUMS: checksums(migrations, written)}


def checksums(migrations: Path, written: dict[Path, str]) -> str:
    """CHECKSUMS anew: what was released is kept as it stands, the rest is calculated."""
    released = released_files(migrations)
    stale = set(_unreleased_engine(migrations, released)) - set(written)
    texts = {path: path.read_bytes() for path in _migration_files(migrations) if path not in stale}
    texts |= {path: text.encode() for path, text in written.items()}
    lines = _released_lines(migrations) or [CHECKSUMS_HEADER]
    for path in sorted(texts, key=lambda path: path.name):
        if path.name not in released:
            lines.append(f"{hashlib.sha256(texts[path]).hexdigest()}  {path.name}")
    return "\n".join(lines) + "\n"


def released_files(migrations: Path) -> dict[str, str]:
    """The files that CHECKSUMS calls released, with their sha256."""
    entries = [line.split("  ", 1) for line in _released_lines(migrations) if line[:1] != "#"]
    return {name: digest for digest, name in entries}


def edited_releases(migrations: Path) -> list[str]:
    """Released files that are no longer what was released. There must be none."""
    return [
        name
        for name, digest in released_files(migrations).items()
        if not (migrations / name).is_file()
        or hashlib.sha256((migrations / name).read_bytes()).hexdigest() != digest
    ]


def release(migrations: Path, version: str) -> None:
    """Mark every migration as released with this version: from now on none of them is edited."""
    path = migrations / CHECKSUMS
    if not path.read_text().splitlines()[-1].startswith(RELEASED):
        path.write_text(f"{path.read_text()}{RELEASED} {version}\n")


def write(migrations: Path, sql: Path) -> None:
    """Write the engine; unreleased engine migrations that are not part of it go away."""
    if edited := edited_releases(migrations):
        raise Problem(
            f"Released, and not to be edited: {', '.join(edited)}.", "git checkout migrations"
        )
    files = engine_files(migrations, sql)
    for stale in _unreleased_engine(migrations, released_files(migrations)):
        stale.unlink()
    for path, text in files.items():
        path.write_text(text)


def differences(migrations: Path, sql: Path) -> list[str]:
    """Names of the files that `write` would change, and of released ones that were edited."""
    if edited := edited_releases(migrations):
        return sorted(edited)
    wanted = engine_files(migrations, sql)
    differing = {
        path.name for path, text in wanted.items() if not path.is_file() or path.read_text() != text
    }
    stale = set(_unreleased_engine(migrations, released_files(migrations))) - set(wanted)
    return sorted(differing | {path.name for path in stale})


def _newest_migration(migrations: Path, released: dict[str, str]) -> str:
    unreleased_engine = {path.name for path in _unreleased_engine(migrations, released)}
    files = {path.name for path in _migration_files(migrations)} | set(released)
    names = [
        name.removesuffix(".sql")
        for name in files - unreleased_engine
        if re.match(r"\d{4}\.", name) and not name.endswith(".rollback.sql")
    ]
    if not names:
        raise Problem(f"There is no migration in {migrations}.", exit_code=EXIT_USAGE)
    return max(names)


def _unreleased_engine(migrations: Path, released: dict[str, str]) -> list[Path]:
    return [
        path
        for path in _migration_files(migrations)
        if ENGINE.fullmatch(path.name) and path.name not in released
    ]


def _migration_files(migrations: Path) -> list[Path]:
    return sorted(migrations.glob("*.sql"))


def _released_lines(migrations: Path) -> list[str]:
    """CHECKSUMS up to and with its last release marker."""
    path = migrations / CHECKSUMS
    lines = path.read_text().splitlines() if path.is_file() else []
    markers = [number for number, line in enumerate(lines) if line.startswith(RELEASED)]
    return lines[: markers[-1] + 1] if markers else []


def main(arguments: Sequence[str]) -> int:
    """Exit code 1: `--check` found a difference."""
    migrations, sql = migrations_folder(), sql_folder()
    try:
        if arguments[:1] == ["--release"]:
            [version] = arguments[1:]
            write(migrations, sql)
            release(migrations, version)
            return 0
        if "--check" not in arguments:
            write(migrations, sql)
            return 0
        differing = differences(migrations, sql)
    except Problem as problem:
        print_error(problem.message, problem.hint)
        return problem.exit_code
    if differing:
        print_error(f"out of date: {', '.join(differing)}", "make engine")
        return EXIT_FOUND
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
