"""The command line: wiring only. Each command parses, calls one module, prints.

Modules are imported inside the commands, so that `pgbooking --help` stays fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pgbooking import __version__
from pgbooking.errors import EXIT_FOUND, explain
from pgbooking.output import print_error, print_json, progress_bar

app = typer.Typer(
    name="pgbooking",
    help="Availability slots and race-safe booking inside PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
events_app = typer.Typer(no_args_is_help=True)
app.add_typer(
    events_app, name="events", help="What happened to appointments, for mailers and webhooks."
)
jobs_app = typer.Typer(no_args_is_help=True)
app.add_typer(jobs_app, name="jobs", help="What runs on a schedule: pg_cron's list, and by hand.")


def parse_now(text: str) -> datetime:
    """ISO 8601; without an offset it is UTC."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time like 2018-04-01T08:00") from None


def parse_date(text: str) -> date:
    """ISO 8601."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date like 2018-04-01") from None


DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="DATABASE_URL",
        show_default=False,
        help="The database. Better set DATABASE_URL: a command line can be read by others.",
    ),
]
Now = Annotated[
    datetime | None,
    typer.Option(
        "--now",
        parser=parse_now,
        metavar="TIME",
        help="Pretend it is this time (UTC unless it has an offset). Superusers only.",
    ),
]
ForTenant = Annotated[
    str | None,
    typer.Option("--tenant", metavar="ID|SLUG", help="Only this tenant; else all."),
]
ForStaff = Annotated[
    str | None,
    typer.Option(
        "--staff", metavar="ID|NAME", help="Only this person: id, external id or whole name."
    ),
]


class Scenario(StrEnum):
    """Which demonstration."""

    SALON = "salon"
    INSTRUCTOR = "instructor"


IMPORT_KINDS = "staff, hours, busy-times, appointments or holidays"
REPORT_SECTIONS = "utilisation, funnel, heatmap, peaks or cancellations"
CronUrl = Annotated[
    str | None,
    typer.Option(
        "--cron-url",
        envvar="PGBOOKING_CRON_URL",
        show_default=False,
        help="The database of this server that has pg_cron, where that is another one.",
    ),
]
LegacyUrl = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        envvar="PGBOOKING_LEGACY_URL",
        show_default=False,
        metavar="URL",
        help="The database of the query, where that is another one. Better set "
        "PGBOOKING_LEGACY_URL.",
    ),
]
LockTimeout = Annotated[
    float,
    typer.Option(
        min=0.01,
        metavar="SECONDS",
        help="How long a migration may wait for a table: bookings wait behind it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Report as JSON.")]


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[
        bool, typer.Option("--version", help="Print the version.", show_default=False)
    ] = False,
) -> None:
    """Availability slots and race-safe booking inside PostgreSQL."""
    if show:
        print(f"pgbooking {__version__}")
        raise typer.Exit


@app.command(epilog="Example: [bold]pgbooking migrate --dry-run[/bold]")
def migrate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL that would run, and run nothing.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(metavar="ID|RELEASE", help="Only up to this migration, or release."),
    ] = None,
    lock_timeout: LockTimeout = 0.5,
    mark_applied: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only put this migration on record; run nothing."),
    ] = None,
    break_lock: Annotated[
        bool, typer.Option("--break-lock", help="Only remove the lock of a run that was killed.")
    ] = False,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Bring the database up to this version of pgbooking.

    Needs no superuser: CREATEROLE and CREATE on the database are enough. Clients can go on booking
    meanwhile: no migration waits for a table for longer than --lock-timeout, and those that wait in
    vain are tried again.
    """
    from pgbooking import migrate as migrations

    if break_lock:
        migrations.break_lock(database_url)
        print("The lock is gone.")
    elif mark_applied:
        migrations.mark_applied(database_url, mark_applied)
        print(f"recorded {mark_applied}")
    elif dry_run:
        print(migrations.texts(migrations.pending(database_url, to=to), "apply"))
    else:
        ids = migrations.pending(database_url, to=to)
        steps = migrations.apply(database_url, to=to, lock_timeout=lock_timeout)
        report_migrations("applied", ids, steps, json)


@app.command(epilog="Example: [bold]pgbooking rollback --to 0.1.0[/bold]")
def rollback(
    last: Annotated[
        int | None, typer.Option(min=1, help="So many migrations, newest first. [default: 1]")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="ID|RELEASE", help="Everything newer than this migration or release."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every migration.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL that would run, and run nothing.")
    ] = False,
    lock_timeout: LockTimeout = 0.5,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Take migrations back, newest first. What an older release has no place for goes away."""
    from pgbooking import migrate as migrations

    if (last is not None) + (to is not None) + everything > 1:
        raise typer.BadParameter("--last, --to and --all exclude each other")
    if last is None and to is None and not everything:
        last = 1
    ids = migrations.rollback_order(database_url, last=last, to=to)
    if dry_run:
        print(migrations.texts(ids, "rollback"))
        return
    if ids and not yes:
        typer.confirm(f"Roll back {', '.join(ids)}, with the rows in their tables?", abort=True)
    steps = migrations.rollback(database_url, ids, lock_timeout=lock_timeout)
    report_migrations("rolled back", ids, steps, json)


@app.command(epilog="Example: [bold]pgbooking status[/bold]")
def status(database_url: DatabaseUrl = None, json: Json = False) -> None:
    """Say which migrations this database has and what is wrong with them.

    Exit code 1: some are pending, or something is wrong.
    """
    from pgbooking import migrate as migrations

    report = migrations.status(database_url)
    if json:
        print_json(report)
    else:
        migrations.print_status(report)
    if report.problems or report.pending:
        raise typer.Exit(EXIT_FOUND)


@app.command(epilog="Example: [bold]pgbooking sql --supabase supabase/migrations[/bold]")
def sql(
    supabase: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Into DIR, a project's supabase/migrations: what `supabase db push` applies.",
        ),
    ] = None,
    roles: Annotated[
        bool, typer.Option("--roles", help="To stdout: what a new cluster needs before a restore.")
    ] = False,
    realtime: Annotated[
        bool,
        typer.Option("--realtime", help="With --supabase: broadcast which calendars change, too."),
    ] = False,
    json: Json = False,
) -> None:
    """Write pgbooking's SQL for other tools to apply. Connects to nothing.

    --roles: the roles, which belong to the cluster and so are in no dump of a database. Only what
    is missing is made, and no passwords are set.

    --supabase: each migration is a file with a name of its own for ever, so that a second run, or
    a newer version of pgbooking, only adds files. What a push has applied, `pgbooking status`
    knows.

    Exit code 1: a file that is there differs from what would be written. Nothing is written then.
    """
    from pgbooking import supabase as for_supabase
    from pgbooking.roles import roles_sql

    if roles == (supabase is not None):
        raise typer.BadParameter("say what for: --supabase DIR, or --roles")
    if supabase is None:
        print(roles_sql(), end="")
        return
    report = for_supabase.write(supabase, realtime=realtime)
    if json:
        print_json(report)
    else:
        for_supabase.print_report(report)


@app.command(epilog="Example: [bold]pgbooking seed --tenants 3 --staff 20 --random-seed 7[/bold]")
def seed(
    tenants: Annotated[int, typer.Option(min=1, max=1000)] = 1,
    staff: Annotated[int, typer.Option(min=1, max=10_000, help="For each tenant.")] = 5,
    locations: Annotated[int, typer.Option(min=1, max=100, help="For each tenant.")] = 1,
    services: Annotated[int, typer.Option(min=1, max=7, help="For each tenant.")] = 5,
    appointments_per_staff: Annotated[int, typer.Option(min=0, max=10_000)] = 40,
    busy_times_per_staff: Annotated[int, typer.Option(min=0, max=10_000)] = 10,
    random_seed: Annotated[
        int, typer.Option(help="The same number on the same day makes the same tenants.")
    ] = 1,
    now: Now = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Make realistic tenants: people, hours, breaks, holidays, appointments, busy times.

    Their slugs are seed-<random seed>-<number>. Each tenant is made in one transaction.
    """
    from pgbooking import seed as seeding
    from pgbooking.connection import connected

    sizes = seeding.Sizes(
        tenants, staff, locations, services, appointments_per_staff, busy_times_per_staff
    )
    with connected(database_url, now=now) as connection, progress_bar() as bar:
        made = seeding.seed(connection, sizes, random_seed, bar)
    if json:
        print_json(made)
    else:
        seeding.print_report(made)


@app.command(
    "import",
    epilog="Example: [bold]pgbooking import appointments bookings.csv --map salon.toml[/bold]",
)
def import_(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=IMPORT_KINDS)],
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE|-",
            help="A CSV file with a header, or iCalendar (.ics). - is standard input.",
        ),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(metavar="SELECT", help="In place of FILE: what this returns in --dsn."),
    ] = None,
    dsn: LegacyUrl = None,
    map_: Annotated[
        Path | None,
        typer.Option(
            "--map", metavar="TOML", help="What its columns mean; else what they are called."
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(metavar="ID|SLUG", help="Whose file it is; else the mapping says."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where it comes from; else the mapping says, else import, or ical.",
        ),
    ] = None,
    staff: Annotated[
        str | None,
        typer.Option(metavar="ID|NAME", help="iCalendar: whose it is. Holidays: else everyone's."),
    ] = None,
    location: Annotated[
        str | None,
        typer.Option(metavar="ID|NAME", help="Holidays: only at this place; else everywhere."),
    ] = None,
    from_: Annotated[
        date | None,
        typer.Option(
            "--from",
            parser=parse_date,
            metavar="DATE",
            help="iCalendar: first local date; else yesterday.",
        ),
    ] = None,
    until: Annotated[
        date | None,
        typer.Option(
            parser=parse_date,
            metavar="DATE",
            help="iCalendar: last local date; else the tenant's horizon.",
        ),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write the rejected rows to this file.")
    ] = None,
    now: Now = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Load staff, hours, busy-times, appointments or holidays from a file or a query.

    What cannot be loaded is listed with line, value and reason, and the rest is loaded.

    A row is recognised by its external_id (appointments and busy times: by their source and
    it), or where the file has none by what it says. One that is there already is left alone,
    so a second run changes nothing and an interrupted one can be run again.

    Columns, or what a mapping names them (the source has deploy/examples/salon.toml, explained):

    staff: name, services (codes, by semicolons), external_id

    hours: staff, location, weekday, start_time, end_time, valid_from, valid_until, external_id

    busy-times: staff, start (or date and time), end (or end_time, or duration_minutes), external_id

    appointments: as busy-times, and service, location, status, customer, email, phone, notes

    --query takes the same columns from a SELECT that only reads, in the database of --dsn, or
    without one in that of DATABASE_URL. A dump is restored into a database of its own first.

    iCalendar, a file called .ics or that begins with BEGIN:VCALENDAR, is busy-times of --staff, or
    holidays. Recurrences are worked out from --from to --until. Whatever came from the same
    --source for the same people and places, lies between those dates and is in the file no more
    is removed; so an empty calendar removes all of it, and a damaged file nothing.

    Exit code 1: rows were rejected.
    """
    from pgbooking import importers
    from pgbooking.calendar_file import is_calendar
    from pgbooking.connection import connected
    from pgbooking.csv_file import CsvFile, read_input
    from pgbooking.import_mapping import Kind, load_mapping
    from pgbooking.import_query import QueryRows

    if (file is None) == (query is None):
        raise typer.BadParameter("say where from, once: FILE, or --query")
    if kind not in set(Kind) - {Kind.SLOTS}:
        raise typer.BadParameter(f"{kind!r} is none of {IMPORT_KINDS}.", param_hint="KIND")
    mapping = load_mapping(map_, Kind(kind))
    read = None if file is None else read_input(file)
    is_ical = read is not None and is_calendar(read)
    mapping = replace(mapping, source=source or mapping.source or ("ical" if is_ical else "import"))
    check_calendar_options(kind, is_ical, staff, location, from_, until)
    with connected(database_url, now=now) as connection, progress_bar() as bar:
        if read is not None and is_ical:
            from pgbooking.import_calendar import Scope, import_calendar

            scope = Scope(staff, location, from_, until)
            report = import_calendar(connection, Kind(kind), read, mapping, tenant, scope, bar)
        else:
            rows: CsvFile | QueryRows
            if read is not None:
                rows = CsvFile(read, mapping.file)
            else:
                setting = "--dsn (or PGBOOKING_LEGACY_URL)" if dsn else "DATABASE_URL"
                rows = QueryRows(query or "", dsn or database_url, setting)
            report = importers.import_rows(connection, Kind(kind), rows, mapping, tenant, bar)
    if json:
        print_json(report)
    else:
        importers.print_report(report)
    if rejects:
        importers.write_rejects(report, rejects)
    if report.rejected or report.interrupted:
        raise typer.Exit(EXIT_FOUND)


@app.command(epilog="Example: [bold]pgbooking adopt --map legacy.toml --apply[/bold]")
def adopt(
    map_: Annotated[
        Path | None,
        typer.Option("--map", metavar="TOML", help="What the old system's tables mean."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Install what the map says, and copy what is there.")
    ] = False,
    switch: Annotated[
        bool, typer.Option("--switch", help="Let pgbooking lead, and the old tables follow.")
    ] = False,
    back: Annotated[
        bool, typer.Option("--back", help="Let the old system lead again, as before the switch.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Remove the mirror; both keep what they have.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only try it, and say what would come of it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    tenant: ForTenant = None,
    lock_timeout: LockTimeout = 0.5,
    now: Now = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Move a live system over, and back if need be. Without options: where it stands.

    --map alone prints the SQL that --apply runs: triggers on the old system's tables, in this same
    database, that keep pgbooking in step. Its appointments are busy times here until --switch makes
    appointments of those that lie ahead; from then on what is booked here is written into the old
    tables. The old system's transactions never fail for it: what cannot be followed is listed.

    Each step can be run again and goes on where it was stopped. Run it as a role that owns the old
    tables and may act as booking_owner (the one that migrated). The source has
    deploy/examples/legacy.toml, explained.

    Exit code 1: something is not in step, or has stayed a busy time.
    """
    from pgbooking import adopt as adopting
    from pgbooking.adopt_map import load_map
    from pgbooking.connection import connected

    if switch + back + finish + (map_ is not None) > 1:
        raise typer.BadParameter("--map, --switch, --back and --finish exclude each other")
    if apply and map_ is None:
        raise typer.BadParameter("--apply needs --map")
    adoption = load_map(map_) if map_ else None
    with connected(database_url, now=now) as connection, progress_bar() as bar:
        if adoption and (dry_run or not apply):
            print(adopting.sql(connection, adoption))
            return
        if finish and not (dry_run or yes):
            typer.confirm("Remove the mirror? Nothing follows anything then", abort=True)
        if adoption:
            report = adopting.apply(connection, adoption, bar, lock_timeout)
        elif switch:
            report = adopting.switch(connection, tenant, bar, lock_timeout, dry_run=dry_run)
        elif back:
            report = adopting.back(connection, tenant, bar, dry_run=dry_run)
        elif finish:
            report = adopting.finish(connection, bar, lock_timeout, dry_run=dry_run)
        else:
            report = adopting.status(connection, tenant)
    if json:
        print_json(report)
    else:
        adopting.print_report(report)
    if not report.is_complete:
        raise typer.Exit(EXIT_FOUND)


@app.command(
    epilog="Example: [bold]pgbooking export --tenant salon --staff Anna /srv/www/anna.ics[/bold]"
)
def export(
    tenant: Annotated[str, typer.Option(metavar="ID|SLUG", help="Whose calendar.")],
    staff: Annotated[
        str, typer.Option(metavar="ID|NAME", help="Who: id, external id or whole name.")
    ],
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="Where to; replaced as a whole, or not at all.")
    ] = "-",
    from_: Annotated[
        date | None,
        typer.Option(
            "--from", parser=parse_date, metavar="DATE", help="First local date; else today."
        ),
    ] = None,
    to: Annotated[
        date | None,
        typer.Option(
            parser=parse_date,
            metavar="DATE",
            help="Last local date; else the tenant's horizon.",
        ),
    ] = None,
    busy_times: Annotated[
        bool, typer.Option("--busy-times", help="Other busy times, too, as Busy.")
    ] = False,
    with_customers: Annotated[
        bool,
        typer.Option("--with-customers", help="Say who comes: name, email, phone and notes."),
    ] = False,
    now: Now = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write a person's appointments as iCalendar, for other calendars to read.

    Live ones, as the service's name, without a word of the customer. Each keeps its UID.
    """
    from pgbooking import export as exporting
    from pgbooking.connection import connected
    from pgbooking.output import write_output

    with connected(database_url, now=now) as connection:
        calendar = exporting.export(
            connection,
            tenant,
            staff,
            from_,
            to,
            with_customers=with_customers,
            with_busy_times=busy_times,
        )
    write_output(file, calendar)


@app.command(
    "report", epilog="Example: [bold]pgbooking report --tenant salon --html report.html[/bold]"
)
def report_(
    sections: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SECTION]...", help=f"{REPORT_SECTIONS}; else all."),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(metavar="ID|SLUG", help="Whose figures; else the only tenant's."),
    ] = None,
    from_: Annotated[
        date | None,
        typer.Option(
            "--from",
            parser=parse_date,
            metavar="DATE",
            help="First local date; else 90 days with the last.",
        ),
    ] = None,
    to: Annotated[
        date | None,
        typer.Option(parser=parse_date, metavar="DATE", help="Last local date; else today."),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="One page with pictures and tables, self-contained."),
    ] = None,
    png: Annotated[
        str | None,
        typer.Option(metavar="DIR|FILE", help="Pictures: SECTION.png, or FILE.png of one section."),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(metavar="DIR|FILE", help="Figures: SECTION.csv, or FILE.csv of one section."),
    ] = None,
    now: Now = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show how a business is booked: in the terminal, or as a page, pictures, CSV or JSON.

    utilisation: how much of each person's working time is booked, by week.

    funnel: how many get from search to hold to booking, and why holds are refused.

    heatmap: which starts are booked, by weekday and hour at their place.

    peaks: when people ask, by weekday and hour in the tenant's time zone.

    cancellations: how much is cancelled or missed, with what notice, and how far ahead people book.

    No word of a customer is in it. Pictures and plots want the extra report; --csv and --json do
    not. A range without figures is said to be one.
    """
    from pgbooking import report as reporting
    from pgbooking import report_output
    from pgbooking.connection import connected

    for each in sections or ():
        if each not in set(reporting.Section):
            raise typer.BadParameter(
                f"{each!r} is none of {REPORT_SECTIONS}.", param_hint="SECTION"
            )
    chosen = [reporting.Section(each) for each in dict.fromkeys(sections or reporting.Section)]
    asked = report_output.outputs(chosen, html=html, png=png, csv=csv, as_json=json)
    with connected(database_url, now=now) as connection:
        figures = reporting.read(connection, tenant, chosen, from_, to)
    report_output.write(figures, asked, as_json=json)


@app.command(epilog="Example: [bold]pgbooking backfill --tenant salon --staff Anna[/bold]")
def backfill(
    tenant: ForTenant = None,
    staff: ForStaff = None,
    from_: Annotated[
        date | None,
        typer.Option("--from", parser=parse_date, metavar="DATE", help="First local date."),
    ] = None,
    to: Annotated[
        date | None, typer.Option(parser=parse_date, metavar="DATE", help="Last local date.")
    ] = None,
    now: Now = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Publish slots anew: of a tenant, of a person, or of all; any dates that are published.

    Calendars are queued first and then done one by one, each in a transaction of its own. Stopping
    loses nothing: the next run, or the queue's job, goes on. Exit code 1: something is left.
    """
    from pgbooking import backfill as backfilling
    from pgbooking.connection import connected

    with connected(database_url, now=now) as connection, progress_bar() as bar:
        chosen = backfilling.choose(connection, tenant, staff, from_, to)
        report = backfilling.backfill(connection, chosen, bar)
    if json:
        print_json(report)
    else:
        backfilling.print_report(report)
    if report.failed or report.interrupted:
        raise typer.Exit(EXIT_FOUND)


@app.command(
    "explain",
    epilog="Example: [bold]pgbooking explain --tenant salon --staff Anna "
    "--at 2018-04-03T10:00+02:00[/bold]",
)
def explain_(
    tenant: Annotated[str, typer.Option(metavar="ID|SLUG", help="Whose calendar.")],
    staff: Annotated[
        str, typer.Option(metavar="ID|NAME", help="Who: id, external id or whole name.")
    ],
    at: Annotated[
        datetime,
        typer.Option(
            parser=parse_now, metavar="TIME", help="When it begins (UTC unless it has an offset)."
        ),
    ],
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="CODE", help="Only this service; else all they offer."),
    ] = None,
    now: Now = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Say why a person can or cannot be booked at a time.

    For each place where they work and each kind of slot that they offer: every rule in order,
    passed or failed, with the rows that decided; and that day at a glance.

    Exit code 1: none of them can be booked.
    """
    from pgbooking import explain as explaining
    from pgbooking.connection import connected

    with connected(database_url, now=now) as connection:
        report = explaining.explain(connection, tenant, staff, at, type_)
        if json:
            print_json(report)
        else:
            explaining.print_report(connection, report)
    if not report.is_available:
        raise typer.Exit(EXIT_FOUND)


@app.command(epilog="Example: [bold]pgbooking verify --tenant salon --independent[/bold]")
def verify(
    tenant: ForTenant = None,
    staff: ForStaff = None,
    independent: Annotated[
        bool,
        typer.Option("--independent", help="Also compare with the second calculator, in Python."),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Publish differing calendars anew, then verify again."),
    ] = False,
    legacy_query: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="Compare with what this query says the old one offers."),
    ] = None,
    dsn: LegacyUrl = None,
    legacy_csv: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare with what this file (-: stdin) says."),
    ] = None,
    map_: Annotated[
        Path | None,
        typer.Option("--map", metavar="TOML", help="What the columns of either mean."),
    ] = None,
    from_: Annotated[
        date | None,
        typer.Option(
            "--from", parser=parse_date, metavar="DATE", help="With --legacy: first local date."
        ),
    ] = None,
    to: Annotated[
        date | None,
        typer.Option(parser=parse_date, metavar="DATE", help="With --legacy: last local date."),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="CAUSE", help="Accept differences with this cause, now and later."),
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="List earlier runs.")] = False,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_now, metavar="TIME", help="With --history: only runs since then (UTC)."
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="CRON", help="Verify now and at these times (UTC), until stopped."),
    ] = None,
    now: Now = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Compare what is published with what the calculator says, and check the promises P1 to P5.

    With --legacy-query or --legacy-csv compare with another system instead (with --independent or
    --repair: after that). Both have a row for each start that it offers: staff (external id, whole
    name or id), start (or date and time; without an offset it is local), and perhaps service, or
    duration_minutes or end, and location; a section slots of the mapping names other columns.
    A query only reads. Each difference has a cause and says which rule and row made it.

    --accept settles a cause of the tenant's differences, on record and to come. --history lists
    runs, newest first; what is open there is neither accepted nor repaired.

    --schedule stays in the foreground and logs a line a run, to stderr; SIGINT and SIGTERM end it
    between two runs. It wants the extra scheduler. cron or systemd can do the same.

    Each run and each difference is recorded in booking.verification_runs and
    booking.verification_differences. Exit code 1: there is a difference that is not accepted (with
    --repair: there still is one), or a row that was rejected; with --history: a run listed has
    something open.
    """
    from pgbooking import verify_history, verify_run, verify_schedule
    from pgbooking.connection import connected

    has_legacy = legacy_query is not None or legacy_csv is not None
    runs = independent or repair or has_legacy or schedule is not None
    for is_wrong, sentence in (
        (legacy_query is not None and legacy_csv is not None, "--legacy-query or --legacy-csv"),
        (bool(accept) + history + runs > 1, "--accept, --history, or options of a run"),
        (since is not None and not history, "--since goes with --history"),
        (
            not has_legacy and (map_ or from_ or to) is not None,
            "--map, --from and --to go with --legacy-query or --legacy-csv",
        ),
        (schedule is not None and legacy_csv == verify_run.STDIN, "--schedule or --legacy-csv -"),
    ):
        if is_wrong:
            raise typer.BadParameter(sentence)
    if accept:
        with connected(database_url, now=now) as connection:
            accepted = verify_history.accept(connection, tenant, accept)
        if json:
            print_json(accepted)
        else:
            verify_history.print_acceptances(accepted)
        return
    if history:
        with connected(database_url, now=now) as connection:
            listed = verify_history.history(connection, tenant, since)
        if json:
            print_json(listed)
        else:
            verify_history.print_history(listed)
        if any(each.open for each in listed):
            raise typer.Exit(EXIT_FOUND)
        return
    legacy = verify_run.Legacy(legacy_query, dsn, legacy_csv, map_, from_, to)

    def once() -> verify_run.Outcome:
        return verify_run.run(
            database_url,
            tenant,
            staff,
            independent=independent,
            repair=repair,
            legacy=legacy if has_legacy else None,
            now=now,
        )

    if schedule is not None:
        verify_schedule.run(schedule, once, as_json=json)
        return
    outcome = once()
    outcome.print(as_json=json)
    if not outcome.is_clean:
        raise typer.Exit(EXIT_FOUND)


@events_app.command(
    "tail", epilog="Example: [bold]pgbooking events tail --follow | your-mailer[/bold]"
)
def events_tail(
    tenant: ForTenant = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Events a batch.")] = 100,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on waiting for events, until stopped.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="With --follow: seconds between looks.")
    ] = 1.0,
    peek: Annotated[
        bool, typer.Option("--peek", help="Print them, and leave them unprocessed.")
    ] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Print unprocessed events, each as a line of JSON, and mark them as processed.

    The kinds are booked, moved, cancelled, payment and reminder_due. A batch is marked after it was
    printed, so an event is printed at least once: killed in between, it is printed again. Several
    can run at once and share the work.

    Exit code 1: stopped before the last event (without --follow), or nobody read the output.
    """
    from pgbooking import events
    from pgbooking.connection import connected

    if peek and follow:
        raise typer.BadParameter("--peek and --follow exclude each other")
    with connected(database_url) as connection:
        if peek:
            events.peek(connection, tenant, limit=limit)
        elif (
            events.tail(connection, tenant, limit=limit, poll_seconds=interval if follow else None)
            and not follow
        ):
            raise typer.Exit(EXIT_FOUND)


@jobs_app.command("install", epilog="Example: [bold]pgbooking jobs install[/bold]")
def jobs_install(
    cron_url: CronUrl = None, database_url: DatabaseUrl = None, json: Json = False
) -> None:
    """Let pg_cron run the jobs of booking.jobs. Run it again after changing them: it follows.

    Jobs run as the role of DATABASE_URL, which must be a member of booking_owner: the one that
    migrated. Where pg_cron is in another database, the role of --cron-url has to be that role and
    have been granted cron.schedule_in_database, or be a superuser.

    pg_cron logs in to cron.host (localhost) as that role, without a password: pg_hba.conf or
    a .pgpass has to let it in, or set cron.use_background_workers = on. Without pg_cron:
    pgbooking scheduler.
    """
    from pgbooking import jobs
    from pgbooking.connection import connected

    with connected(database_url) as connection:
        report = jobs.install(connection, cron_url)
    if json:
        print_json(report)
    else:
        jobs.print_report(report)


@jobs_app.command("remove", epilog="Example: [bold]pgbooking jobs remove[/bold]")
def jobs_remove(
    cron_url: CronUrl = None, database_url: DatabaseUrl = None, json: Json = False
) -> None:
    """Take this database's jobs, and no others, from pg_cron. booking.jobs stays as it is."""
    from pgbooking import jobs
    from pgbooking.connection import connected

    with connected(database_url) as connection:
        names = jobs.remove(connection, cron_url)
    if json:
        print_json({"removed": names})
    else:
        print("\n".join(f"removed {name}" for name in names) or "Nothing to do.")


@jobs_app.command("list", epilog="Example: [bold]pgbooking jobs list[/bold]")
def jobs_list(
    cron_url: CronUrl = None, database_url: DatabaseUrl = None, json: Json = False
) -> None:
    """List the jobs: when they run, who starts them, and how the last run went."""
    from pgbooking import jobs
    from pgbooking.connection import connected

    with connected(database_url) as connection:
        listed = jobs.with_places(connection, cron_url)
    if json:
        print_json([each.as_json() for each in listed])
    else:
        jobs.print_jobs(listed)


@jobs_app.command("run", epilog="Example: [bold]pgbooking jobs run nightly_refresh[/bold]")
def jobs_run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A job of booking.jobs.")],
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Run a job now, to its end. Exit code 1: it failed, is disabled, or is running already."""
    from pgbooking import jobs
    from pgbooking.connection import connected

    with connected(database_url) as connection:
        done = jobs.run_by_hand(connection, name)
    if json:
        print_json(done)
    else:
        print(f"{done.name}: {done.rows:,} rows in {done.seconds:.1f} s")


@app.command(epilog="Example: [bold]pgbooking scheduler[/bold]")
def scheduler(
    grace: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="When stopped: how long runs may take to end."),
    ] = 20.0,
    database_url: DatabaseUrl = None,
    json: Annotated[bool, typer.Option("--json", help="Each line of the log as JSON.")] = False,
) -> None:
    """Run the jobs of booking.jobs on schedule, in the foreground: where there is no pg_cron.

    Any number may run: one leads, the others stand by. What fell due while none was up is done at
    the start. A change of booking.jobs counts within half a minute. A server that goes away is
    waited for.

    Logs to stderr, in UTC: runs that did something or failed. SIGTERM or SIGINT: no run begins any
    more, those under way may end within --grace, then they are cancelled. DATABASE_URL must lead to
    the server itself, not through a pooler. deploy/ has a systemd unit.
    """
    from pgbooking import scheduler as scheduling

    scheduling.run(database_url, grace_seconds=grace, as_json=json)


@app.command(epilog="Example: [bold]pgbooking doctor --postgrest-config postgrest.conf[/bold]")
def doctor(
    postgrest_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PostgREST's configuration file, to be checked, too."),
    ] = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Say what is wrong with a database, or soon will be, and what to do about it.

    Looks at the server and its settings, roles, rights, migrations, drift from the release, jobs,
    the queue, what needs vacuum, sessions that hold others up, and PostgREST. Writes nothing.

    Exit code 1: there is a failure. Warnings alone leave it at 0.
    """
    from pgbooking import doctor as examining
    from pgbooking.connection import connected

    with connected(database_url) as connection:
        report = examining.examine(connection, database_url, postgrest_config)
    if json:
        print_json(report)
    else:
        examining.print_report(report)
    if report.count("failure"):
        raise typer.Exit(EXIT_FOUND)


@app.command(epilog="Example: [bold]pgbooking demo --keep[/bold]")
def demo(
    scenario: Annotated[
        Scenario,
        typer.Option(
            help="A salon with five people, or a driving instructor between three places."
        ),
    ] = Scenario.SALON,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the embedded server running afterwards.")
    ] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Show it all: migrate, publish, hold, book, verify, and how long it took.

    salon: a tenant is seeded, and one appointment held, booked, moved and cancelled.

    instructor: travel times, a day limit, a compact schedule, seasons and prices, day by day.

    Starts a PostgreSQL server of its own unless DATABASE_URL is set. There it migrates that
    database and adds a tenant with the slug demo-1-1, or each time a new one, demo-instructor-1
    and so on.
    """
    from pgbooking.demo_instructor import InstructorDemo
    from pgbooking.demo_salon import SalonDemo

    chosen = {Scenario.SALON: SalonDemo, Scenario.INSTRUCTOR: InstructorDemo}[scenario]
    if chosen().run(database_url, keep=keep):
        raise typer.Exit(EXIT_FOUND)


def check_calendar_options(
    kind: str, is_ical: bool, staff: str | None, location: str | None, *dates: date | None
) -> None:
    """Raise BadParameter where the options of an import do not fit what is imported."""
    if not is_ical:
        if staff or location or any(dates):
            raise typer.BadParameter("--staff, --location, --from, --until are for iCalendar only")
    elif kind not in {"busy-times", "holidays"}:
        raise typer.BadParameter("iCalendar is busy-times or holidays", param_hint="KIND")
    elif kind == "busy-times" and (not staff or location):
        raise typer.BadParameter("busy-times of iCalendar need --staff, and take no --location")
    for each in dates:
        if each and not 1901 <= each.year <= 9997:
            raise typer.BadParameter(f"{each} is not between the years 1901 and 9997")


def report_migrations(verb: str, ids: list[str], steps: Iterator[str], json: bool) -> None:
    """Run the steps behind a progress bar and say what was done."""
    done = []
    with progress_bar() as bar:
        task = bar.add_task("migrations", total=len(ids))
        for migration_id in steps:
            done.append(migration_id)
            bar.advance(task)
            if not json:
                print(f"{verb} {migration_id}")
    if json:
        print_json({verb.replace(" ", "_"): done})
    elif not done:
        print("Nothing to do.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error ends as a sentence and an exit code."""
    try:
        app(args=None if arguments is None else list(arguments))
    except Exception as error:
        if os.environ.get("PGBOOKING_TRACEBACK"):
            raise
        explanation = explain(error)
        print_error(explanation.message, explanation.hint)
        sys.exit(explanation.exit_code)


if __name__ == "__main__":
    main()
