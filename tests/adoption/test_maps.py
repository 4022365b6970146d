"""What a map can say, and what is said of one that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.adoption.conftest import CLOCK, MAP, Legacy, make_legacy
from tests.cli.conftest import Run
from tests.postgres import Server
from tests.salon import set_clock

# One business, places with zones of their own, dates and times apart, a length instead of an end,
# keys of several kinds, and rows that are deleted when they are cancelled.
OTHER_SCHEMA = """
create schema desk;
create table desk.rooms (code text primary key, title text not null, zone text, closed boolean);
create table desk.people (id uuid primary key, name text not null);
create table desk.work (id uuid primary key, label text not null, minutes integer not null,
  pause integer not null);
create table desk.skills (person uuid not null, work uuid not null, primary key (person, work));
create table desk.shifts (id serial primary key, person uuid not null, room text not null,
  day text not null, from_time time not null, to_time time not null, since date, until date);
create table desk.outside (calendar text, number integer, person uuid not null,
  begins timestamptz not null, ends timestamptz not null, primary key (calendar, number));
create table desk.diary (id serial primary key, person uuid not null, room text not null,
  work uuid not null, day date not null, at time not null, minutes integer not null,
  client text, cents integer not null default 0);
insert into desk.rooms values
  ('B', 'Berlin', 'Europe/Berlin', false), ('L', 'London', 'Europe/London', false);
insert into desk.people values
  ('00000000-0000-4000-8000-000000000001', 'Ada'), ('00000000-0000-4000-8000-000000000002', 'Bob');
insert into desk.work values
  ('00000000-0000-4000-8000-00000000000a', 'Talk', 30, 15),
  ('00000000-0000-4000-8000-00000000000b', 'Visit', 60, 0);
insert into desk.skills values
  ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a');
insert into desk.shifts (person, room, day, from_time, to_time) values
  ('00000000-0000-4000-8000-000000000001', 'B', 'Tuesday', '09:00', '17:00'),
  ('00000000-0000-4000-8000-000000000001', 'L', 'Wednesday', '20:00', '02:00');
insert into desk.outside values
  ('gym', 1, '00000000-0000-4000-8000-000000000001', '2026-03-03 12:00Z', '2026-03-03 13:00Z');
insert into desk.diary (person, room, work, day, at, minutes, client, cents) values
  ('00000000-0000-4000-8000-000000000001', 'B', '00000000-0000-4000-8000-00000000000a',
   '2026-03-03', '10:00', 30, 'Zoe', 900),
  ('00000000-0000-4000-8000-000000000001', 'L', '00000000-0000-4000-8000-00000000000a',
   '2026-03-04', '23:45', 30, 'Yan', 900);
"""

OTHER_MAP = """
[tenant]
slug = "desk"
name = "Desk"
time_zone = "Europe/Paris"

[locations]
table = "desk.rooms"
[locations.columns]
name = "title"
time_zone = "zone"
[locations.sql]
is_active = "not r.closed"

[services]
table = "desk.work"
[services.columns]
name = "label"
duration_minutes = "minutes"
buffer_after_minutes = "pause"

[staff]
table = "desk.people"
[staff.columns]
name = "name"

[offers]
table = "desk.skills"
[offers.columns]
staff = "person"
service = "work"

[hours]
table = "desk.shifts"
[hours.columns]
staff = "person"
location = "room"
weekday = "day"
start_time = "from_time"
end_time = "to_time"
valid_from = "since"
valid_until = "until"

[busy_times]
table = "desk.outside"
[busy_times.columns]
staff = "person"
start = "begins"
end = "ends"
[busy_times.sql]
external_id = "r.calendar || '/' || r.number"

[appointments]
table = "desk.diary"
use_buffers = true
[appointments.columns]
staff = "person"
location = "room"
service = "work"
date = "day"
time = "at"
duration_minutes = "minutes"
customer = "client"
price_cents = "cents"
"""


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """pgbooking beside an old system of which it knows nothing yet."""
    with server.database(server.template) as url:
        yield url


@pytest.fixture
def desk(db: psycopg.Connection[Any], run: Run, tmp_path: Path) -> Legacy:
    """Another kind of old system, followed."""
    set_clock(db)
    db.execute(OTHER_SCHEMA.encode())
    path = tmp_path / "desk.toml"
    path.write_text(OTHER_MAP)
    legacy = Legacy(db, run)
    assert legacy.adopt("--map", str(path), "--apply")["code"] == 0
    return legacy


def test_another_kind_of_old_system_is_followed_and_written(desk: Legacy) -> None:
    busy = "select external_id, start_time at time zone 'UTC', end_time at time zone 'UTC'"
    busy += " from booking.busy_times order by start_time"
    assert [(key, f"{start:%d %H:%M}", f"{end:%d %H:%M}") for key, start, end in
            desk.db.execute(busy.encode()).fetchall()] == [
        ("1", "03 09:00", "03 09:45"),  # with the quarter of an hour behind it
        ("gym/1", "03 12:00", "03 13:00"),
        ("2", "04 23:45", "05 00:30"),
    ]  # fmt: skip
    offers = "select s.display_name, t.name from booking.staff_appointment_types o"
    offers += " join booking.staff s on s.id = o.staff_id"
    offers += " join booking.appointment_types t on t.id = o.appointment_type_id order by 1, 2"
    assert desk.db.execute(offers.encode()).fetchall() == [("Ada", "Talk")]
    desk.write(
        "insert into desk.skills select p.id, w.id from desk.people p cross join desk.work w"
        " on conflict do nothing"
    )
    desk.write(
        "delete from desk.skills where right(person::text, 1) = '1' and right(work::text, 1) = 'a'"
    )
    assert desk.queue() == []
    assert desk.db.execute(offers.encode()).fetchall() == [
        ("Ada", "Visit"),
        ("Bob", "Talk"),
        ("Bob", "Visit"),
    ]
    desk.write("update desk.rooms set closed = true where code = 'L'")
    desk.follow_queue()
    assert desk.db.execute(
        "select name, timezone, is_active from booking.locations order by name"
    ).fetchall() == [("Berlin", "Europe/Berlin", True), ("London", "Europe/London", False)]
    desk.write("update desk.outside set ends = ends + interval '1 hour'")
    desk.write("delete from desk.people where name = 'Bob'")
    assert desk.queue() == []
    assert desk.run("verify", "--independent", *CLOCK).code == 0

    report = desk.switch()
    assert (report["code"], report["changed"], report["notes"]) == (0, 2, [])
    talk = desk.appointment(1)
    assert (talk["customer"], talk["price_cents"], talk["buffer_after_minutes"]) == (
        {"name": "Zoe"},
        900,
        15,
    )
    desk.write(
        "insert into booking.appointments (tenant_id, staff_id, location_id, appointment_type_id,"
        " start_time, end_time, customer, price_cents) select tenant_id, staff_id, location_id,"
        " appointment_type_id, start_time + interval '25 hours', end_time + interval '25 hours',"
        """ '{"name": "Xia"}', 700 from booking.appointments where external_id = '1'"""
    )
    desk.write("update booking.appointments set end_time = end_time + interval '10 minutes'"
               " where external_id = '1'")  # fmt: skip
    desk.write("update booking.appointments set status = 'cancelled' where external_id = '2'")
    diary = "select to_jsonb(d) - 'person' - 'work' - 'id' from desk.diary d order by id"
    assert [row[0] for row in desk.db.execute(diary.encode()).fetchall()] == [
        {"room": "B", "day": "2026-03-03", "at": "10:00:00", "minutes": 40, "client": "Zoe",
         "cents": 900},
        {"room": "B", "day": "2026-03-04", "at": "11:00:00", "minutes": 30, "client": "Xia",
         "cents": 700},
    ]  # fmt: skip
    desk.write("update booking.appointments set status = 'confirmed' where external_id = '2'")
    assert len(desk.db.execute(diary.encode()).fetchall()) == 3, "made anew"
    assert desk.queue() == []
    desk.write("delete from desk.diary")
    live = desk.db.execute("select from booking.appointments where status <> 'cancelled'")
    assert live.rowcount == 0
    assert desk.run("verify", "--independent", *CLOCK).code == 0


WRONG_MAPS = {
    "not a table": (
        'table = "shop.users"',
        'table = "shop.user"',
        "[staff]: there is no table 'shop.user'",
    ),
    "a view": (
        'table = "shop.users"',
        'table = "pg_catalog.pg_roles"',
        "[staff]: there is no table 'pg_catalog.pg_roles'",
    ),
    "no such column": (
        'staff = "user_id"\nweekday',
        'staff = "person"\nweekday',
        "[hours]: staff: column r.person does not exist",
    ),
    "no SQL": (
        "lower(r.title)",
        "lower(r.title",
        '[services]: code: syntax error at or near "from"',
    ),
    "an unqualified name": (
        "from shop.users u where u.id = r.user_id",
        "from users u where u.id = r.user_id",
        '[hours]: tenant: relation "users" does not exist',
    ),
    "no time": (
        'start = "starts_at"\nend = "ends_at"\nstatus',
        'start = "note"\nend = "ends_at"\nstatus',
        "[appointments]: start is text, and a timestamp was expected",
    ),
    "no such field": ('notes = "note"', 'note = "note"', "appointments.columns.note is not known"),
    "twice": (
        'status = "state"',
        'status = "state"\nemail = "note"',
        "appointments: email stands in both columns and sql",
    ),
    "no such status": (
        'arrived = "confirmed"',
        'arrived = "here"',
        "appointments.values.status: 'arrived' is to mean 'here'",
    ),
    "not said": ('name = "title"', "", "[services] does not say what name is"),
    "no such new column": (
        'created_by = "',
        'maker = "',
        "[appointments]: new.maker: column r.maker does not exist",
    ),
    "nobody's": (
        '[tenants]\ntable = "shop.tenants"\n\n[tenants.columns]\nname = "name"\n'
        'slug = "subdomain"\ntime_zone = "tz"',
        '[tenant]\nslug = "x"',
        "[tenant] needs slug, name and time_zone",
    ),
    "a number": (
        'status = "state"',
        "status = 7",
        "appointments.columns.status is 7, and a text in quotes was expected",
    ),
}


@pytest.mark.parametrize(("was", "becomes", "said"), WRONG_MAPS.values(), ids=WRONG_MAPS)
def test_a_wrong_map_is_one_sentence_and_nothing_is_written(
    shared: tuple[psycopg.Connection[Any], str],
    run: Run,
    tmp_path: Path,
    was: str,
    becomes: str,
    said: str,
) -> None:
    db, url = shared
    text = MAP.read_text()
    assert was in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(was, becomes))
    answer = run("adopt", "--map", path, "--apply", "--database-url", url)
    assert answer.code == 2
    assert said in answer.err.splitlines()[0]
    found = db.execute("select to_regnamespace('booking_adoption')").fetchone()
    assert found == (None,)


@pytest.fixture(scope="module")
def shared(module_database_url: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A database with an old system in which no test here changes anything."""
    with psycopg.connect(module_database_url, autocommit=True) as db:
        make_legacy(db)
        yield db, module_database_url


def test_the_sql_that_is_shown_is_what_runs(
    shared: tuple[psycopg.Connection[Any], str], run: Run
) -> None:
    db, url = shared
    answer = run("adopt", "--map", MAP, "--database-url", url)
    assert answer.code == 0
    with db.transaction(force_rollback=True):
        db.execute(answer.out.replace("begin;", "").replace("commit;", "").encode())
        made = db.execute(
            "select count(*) from pg_trigger t join pg_proc p on p.oid = t.tgfoid"
            " where p.pronamespace = 'booking_adoption'::regnamespace"
        ).fetchone()
        assert made == (24,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--apply",), "--apply needs --map"),
        (("--switch", "--back"), "--map, --switch, --back and --finish exclude each other"),
        (("--switch",), "Nothing is being adopted in this database."),
        (("--map", "/nowhere.toml"), "/nowhere.toml cannot be read"),
    ],
)
def test_wrong_usage_is_one_sentence(
    shared: tuple[psycopg.Connection[Any], str], run: Run, options: tuple[str, ...], said: str
) -> None:
    answer = run("adopt", *options, "--database-url", shared[1])
    assert answer.code == 2
    assert said in answer.err
