"""The migrations as files that `supabase db push` applies, each with its record in our bookkeeping.

What has been written once is in somebody's repository and never changes: the file names are made
from the migrations' numbers, and the texts in deploy/supabase/ stay as they are once released.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.sources import migrations_folder

# Supabase orders migrations by the 14 digits that their names begin with. Ours are one second
# apart: 20260101000007 for 0007. The bookkeeping comes first, Realtime last, whatever is added.
FIRST_VERSION = datetime(2026, 1, 1, tzinfo=UTC)
BOOKKEEPING = 0
REALTIME = 86_399


@dataclass(frozen=True)
class Written:
    """Names of the files that were added, and of those that were there already."""

    written: list[str]
    unchanged: list[str]


def write(folder: Path, *, realtime: bool, migrations: Path | None = None) -> Written:
    """Add the files that are missing to a project's supabase/migrations.

    Raises Problem, and writes nothing, where `folder` is none, or where a file that is there
    differs from what would be written.
    """
    if not folder.is_dir():
        raise Problem(
            f"{folder} is not a folder; expected is the project's supabase/migrations.",
            f"supabase init, then: mkdir -p {folder}",
            EXIT_USAGE,
        )
    texts = files(realtime=realtime, migrations=migrations)
    differing = [each for name, text in texts.items() for each in _differing(folder, name, text)]
    if differing:
        raise Problem(
            f"Nothing was written, for this is not what pgbooking writes: {', '.join(differing)}.",
            "A migration is not edited: put the file back as it was, and change things in one of "
            "your own.",
        )
    unchanged = [name for name in texts if (folder / name).exists()]
    written = [name for name in texts if name not in unchanged]
    for name in written:
        # A killed run leaves at most this, which Supabase passes over: it begins with no digits.
        unfinished = folder / f".{name}.unfinished"
        unfinished.write_bytes(texts[name].encode())
        unfinished.rename(folder / name)
    return Written(written, unchanged)


def files(*, realtime: bool, migrations: Path | None = None) -> dict[str, str]:
    """File name → text, in the order in which Supabase applies them."""
    from yoyo import read_migrations

    source = migrations or migrations_folder()
    template = _shipped("migration.sql")
    post_apply = (source / "post-apply.sql").read_text().strip()
    found = {_file_name(BOOKKEEPING, "bookkeeping"): _shipped("bookkeeping.sql")}
    for migration in read_migrations(str(source)):
        number, name = migration.id.split(".")
        text = Path(migration.path).read_text()
        found[_file_name(int(number), name)] = template.format(
            id=migration.id,
            hash=migration.hash,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            text=_in_one_transaction(text).strip(),
            post_apply=post_apply,
        )
    if realtime:
        found[_file_name(REALTIME, "realtime")] = _shipped("realtime.sql")
    return found


def print_report(report: Written) -> None:
    """The report for people."""
    for name in report.written:
        print(f"wrote {name}")
    if not report.written:
        print("Nothing to do.")


def _in_one_transaction(text: str) -> str:
    """Supabase runs each file in one, where no index can be built concurrently: who writes to the
    table waits for that, and the file must not wait for long to begin."""
    if "-- transactional: false\n" not in text:
        return text
    text = text.replace("-- transactional: false\n", "").replace(" concurrently ", " ")
    return f"set local lock_timeout = '500ms';\n\n{text}"


def _file_name(number: int, name: str) -> str:
    return f"{FIRST_VERSION + timedelta(seconds=number):%Y%m%d%H%M%S}_pgbooking_{name}.sql"


def _differing(folder: Path, name: str, text: str) -> list[str]:
    """Files of this version that are not the one with this text (git may have changed its line
    ends)."""
    version = name.split("_")[0]
    return [
        path.name
        for path in sorted(folder.glob(f"{version}_*"))
        if path.name != name or path.read_bytes().replace(b"\r\n", b"\n") != text.encode()
    ]


def _shipped(name: str) -> str:
    # Beside the migrations, in a checkout as in an installed wheel.
    return (migrations_folder().parent / "deploy" / "supabase" / name).read_text()
