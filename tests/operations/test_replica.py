"""A streaming replica answers whoever only reads, as its primary does, refuses whoever writes, and
cannot make the primary book twice, however far behind it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors

from pgbooking import migrate
from tests.api import ANON, SERVICE, Answer, Api, Caller
from tests.api.asking import iso
from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    OTHER_SESSION,
    SESSION,
    admin_of,
    assert_refused,
    book,
    rows,
    slot_at,
    staff_of,
)
from tests.booking.conftest import at
from tests.faults.conftest import running_mortal_server
from tests.load import overlaps
from tests.operations.replica import Pair, replica_of
from tests.postgres import Server
from tests.rls.acting import acting_as
from tests.salon import Salon, make_salon, set_clock

TEMPLATE = "salon"

# No patience with readers at all, so that a conflict need not be waited for.
IMPATIENT = """
max_standby_streaming_delay = 0
hot_standby_feedback = off
wal_receiver_status_interval = 1
"""


@pytest.fixture(scope="module")
def servers(server: Server) -> Iterator[Pair]:
    """A primary with a salon to be cloned, and its replica."""
    with running_mortal_server(server) as primary:
        with psycopg.connect(primary.url, autocommit=True) as db:
            db.execute(f"create database {TEMPLATE}".encode())
        with replica_of(primary, IMPATIENT) as replica:
            pair = Pair(primary, replica, TEMPLATE)
            for _ in migrate.apply(pair.primary_url):
                pass
            yield pair


@pytest.fixture(scope="module")
def made_salon(servers: Pair) -> Salon:
    """Ada's salon: a colleague, a booking of Ada's, a hold, prices, and days beyond the window."""
    with psycopg.connect(servers.primary_url, autocommit=True) as db:
        salon = make_salon(db)
        salon.add_person()
        db.execute("update booking.tenants set precompute_days = 3")
        db.execute(
            "insert into booking.tenant_slugs (slug, tenant_id) values ('salon', %s)",
            (salon.tenant,),
        )
        salon.insert("price_rules", weekdays=[3], adjustment_percent=-10)
        salon.insert("breaks", start_time="12:00", end_time="12:30")
        salon.insert(
            "schedule_exceptions",
            first_date="2026-03-06",
            last_date="2026-03-06",
            kind="closed",
            note="Inventory",
        )
        salon.insert(
            "busy_times",
            staff_id=salon.person,
            start_time=at("15:00"),
            end_time=at("16:00"),
            source="calendar",
        )
        book(salon)
        Api(db).call("reserve_slot", slot_id=slot_at(salon, at("11:00")), session_id=SESSION)
        return salon


@pytest.fixture
def pair(servers: Pair, made_salon: Salon) -> Iterator[Pair]:
    """A database of the test's own with that salon, on both."""
    database = f"pgbooking_test_{uuid4().hex}"
    with psycopg.connect(servers.primary.url, autocommit=True) as administrator:
        administrator.execute(f"create database {database} template {TEMPLATE}".encode())
        try:
            servers.catch_up()
            yield replace(servers, database=database)
        finally:
            administrator.execute(f"drop database {database} with (force)".encode())


@pytest.fixture
def salon(pair: Pair, made_salon: Salon) -> Iterator[Salon]:
    """The salon on the primary."""
    with psycopg.connect(pair.primary_url, autocommit=True) as db:
        set_clock(db)
        yield replace(made_salon, db=db)


@pytest.fixture
def mirror(pair: Pair, made_salon: Salon) -> Iterator[Salon]:
    """The same on the replica."""
    with psycopg.connect(pair.replica_url, autocommit=True) as db:
        set_clock(db)
        yield replace(made_salon, db=db)


# Reading.


def views(salon: Salon) -> list[str]:
    """Every view of the public surface."""
    found = rows(
        salon,
        "select relname from pg_catalog.pg_class"
        " where relnamespace = 'api'::regnamespace and relkind in ('r', 'v', 'm', 'f') order by 1",
    )
    return [row["relname"] for row in found]


def functions(salon: Salon) -> set[str]:
    """Every function of the public surface, but for what PostgREST calls itself."""
    found = rows(
        salon, "select proname from pg_catalog.pg_proc where pronamespace = 'api'::regnamespace"
    )
    return {row["proname"] for row in found} - {"pre_request"}


def readings(salon: Salon) -> dict[str, list[tuple[Caller, dict[str, Any]]]]:
    """Calls of each function that only reads; refusals are answers, too."""
    days = {"tenant_id": salon.tenant, "start_date": "2026-03-02", "end_date": "2026-03-12"}
    unknown = {**days, "tenant_id": uuid4()}
    person = {"tenant_id": salon.tenant, "staff_id": salon.person}
    return {
        "get_tenant": [(ANON, {"slug": "salon"}), (ANON, {"slug": "nobody"})],
        "get_available_slots": [
            (ANON, days),
            (ANON, {**days, "appointment_type": "cut"}),
            (ANON, {**days, "appointment_type": "course", "max_results": 7}),
            (ANON, {**days, "end_date": "2027-03-12"}),
            (ANON, unknown),
            (SERVICE, days),
        ],
        "get_available_times": [
            (ANON, {**days, "appointment_type": "cut"}),
            (ANON, {**days, "appointment_type": "no such"}),
        ],
        "get_next_available": [
            (ANON, {"tenant_id": salon.tenant}),
            (ANON, {**person, "appointment_type": "cut", "from_time": at("10:00", 9)}),
        ],
        "explain_availability": [
            (member, {**person, "at": at(clock)})
            for member in (staff_of(salon), admin_of(salon))
            for clock in ("10:00", "12:00", "15:00")
        ],
    }


def writings(salon: Salon) -> dict[str, tuple[Caller, dict[str, Any]]]:
    """A call of each function that is for POST."""
    held, free = slot_at(salon, at("11:00")), slot_at(salon, at("13:00"))
    (booked,) = rows(salon, "select id from booking.appointments")
    appointment = {"appointment_id": booked["id"]}
    holder = {"slot_id": held, "session_id": SESSION}
    days = {"tenant_id": salon.tenant, "start_date": "2026-03-03", "end_date": "2026-03-04"}
    return {
        "get_reservations": (ANON, {"session_id": SESSION}),
        "reserve_slot": (ANON, {"slot_id": free, "session_id": OTHER_SESSION}),
        "reserve_time": (
            ANON,
            {
                "tenant_id": salon.tenant,
                "start_time": at("14:00"),
                "appointment_type": "cut",
                "session_id": OTHER_SESSION,
            },
        ),
        "create_appointment": (ADA, {**holder, "appointment_type": "cut", "user_data": ADAS_DATA}),
        "release_slot": (ANON, {"slot_id": free, "session_id": OTHER_SESSION}),
        "reschedule_appointment": (ADA, {**appointment, "slot_id": slot_at(salon, at("16:00"))}),
        "record_payment": (
            SERVICE,
            {**appointment, "payment_status": "paid", "payment_reference": "P-1"},
        ),
        "cancel_appointment": (ADA, appointment),
        "set_working_hours": (
            admin_of(salon),
            {"tenant_id": salon.tenant, "staff_id": salon.person, "hours": []},
        ),
        "recalculate_availability": (SERVICE, days),
    }


def test_every_function_is_known_here_as_one_that_reads_or_one_that_writes(salon: Salon) -> None:
    assert readings(salon).keys() & writings(salon).keys() == set()
    assert readings(salon).keys() | writings(salon).keys() == functions(salon)


def test_every_function_that_is_called_by_get_answers_as_on_the_primary(
    salon: Salon, mirror: Salon
) -> None:
    for function, calls in readings(salon).items():
        for caller, arguments in calls:
            ours, theirs = (
                Api(each.db).call(function, caller, method="GET", **arguments)
                for each in (salon, mirror)
            )
            assert theirs == ours, (function, arguments)
            if not ours.success:
                continue
            etag = ours.headers["ETag"]
            again = Api(mirror.db).call(
                function, caller, method="GET", headers={"if-none-match": etag}, **arguments
            )
            assert again.status == 304
            assert not again.body


def test_a_listing_goes_on_at_the_replica_and_beyond_the_days_that_are_published(
    salon: Salon, mirror: Salon
) -> None:
    def pages(first: Salon, others: Salon) -> list[dict[str, Any]]:
        request: dict[str, Any] = {
            "tenant_id": salon.tenant,
            "start_date": "2026-03-03",
            "end_date": "2026-03-10",
            "max_results": 100,
        }
        slots, at_work = [], first
        while True:
            body = Api(at_work.db).call("get_available_slots", method="GET", **request).body
            slots += body["slots"]
            if "next_page_token" not in body:
                return slots
            request["page_token"], at_work = body["next_page_token"], others

    found = pages(salon, mirror)
    assert found == pages(mirror, salon) == pages(salon, salon)
    (published,) = rows(salon, "select max(start_time) as last from booking.availability_slots")
    assert found[-1]["start_time"] > iso(published["last"])


def test_every_view_shows_everybody_what_it_shows_them_on_the_primary(
    salon: Salon, mirror: Salon
) -> None:
    callers = {"anon": ANON, "Ada": ADA, "service": SERVICE, "staff": staff_of(salon)}
    shown: dict[tuple[str, str], list[Any] | str] = {}
    for who, caller in callers.items():
        for view in views(salon):
            shown[who, view] = select_all(salon, caller, view)
            assert select_all(mirror, caller, view) == shown[who, view], (who, view)
    assert len(shown["anon", "availability_slots"]) > 100
    assert shown["anon", "appointments"] == "42501"
    assert len(shown["Ada", "appointments"]) == len(shown["service", "appointments"]) == 1
    assert len(shown["staff", "working_hours"]) == 14


def select_all(salon: Salon, caller: Caller, view: str) -> list[tuple[Any, ...]] | str:
    """Everything that the caller sees there, or the SQLSTATE of the denial."""
    try:
        with acting_as(salon.db, caller, method="GET") as session:
            found = session.execute(f"select to_jsonb(v) from {view} v".encode()).fetchall()
            return sorted(found, key=str)
    except errors.InsufficientPrivilege as error:
        return error.sqlstate or ""


def test_reading_is_not_counted_there_not_even_by_post(
    salon: Salon, mirror: Salon, pair: Pair
) -> None:
    salon.db.execute("update booking.settings set reads_per_minute = 1, trusted_proxies = 1")
    pair.catch_up()
    for method in ("GET", "POST"):
        for _ in range(3):
            answer = Api(mirror.db).call("get_tenant", method=method, slug="salon")
            assert answer.success, answer
    assert Api(salon.db).call("get_tenant", slug="salon").success
    assert Api(salon.db).call("get_tenant", slug="salon").code == "rate_limited"


# Writing.


def test_every_function_that_writes_is_refused_there_as_it_is_by_get(
    salon: Salon, mirror: Salon
) -> None:
    """SQLSTATE 25006, which PostgREST answers with 405."""
    for function, (caller, arguments) in writings(salon).items():
        for each, method in ((salon, "GET"), (mirror, "GET"), (mirror, "POST")):
            with pytest.raises(errors.ReadOnlySqlTransaction) as refused:
                Api(each.db).call(function, caller, method=method, **arguments)
            assert refused.value.diag.message_primary
            assert refused.value.diag.message_primary.startswith(f"{function} is for POST: ")
    for function, (caller, arguments) in writings(salon).items():
        answer = Api(salon.db).call(function, caller, **arguments)
        # Nothing was to be paid.
        expected = "invalid_status" if function == "record_payment" else None
        assert answer.code == expected, (function, answer)


def test_a_transaction_that_is_to_write_does_not_even_begin_there(mirror: Salon) -> None:
    """What PostgREST sends for each POST."""
    with pytest.raises(errors.FeatureNotSupported):
        mirror.db.execute("begin isolation level read committed read write")


def test_views_cannot_be_written_there(salon: Salon, mirror: Salon) -> None:
    admin = admin_of(salon)
    for view in ("working_hours", "breaks", "schedule_exceptions", "busy_times"):
        with (
            pytest.raises(errors.ReadOnlySqlTransaction),
            acting_as(mirror.db, admin) as session,
        ):
            session.execute(f"delete from {view}".encode())


# Being behind.


def offered(salon: Salon, start: str) -> bool:
    """Whether anybody is told that Ada's person is free for a cut then."""
    answer = Api(salon.db).call(
        "get_available_slots",
        method="GET",
        tenant_id=salon.tenant,
        start_date="2026-03-03",
        end_date="2026-03-03",
        staff_id=salon.person,
        appointment_type="cut",
    )
    starts = {slot["start_time"] for slot in answer.body["slots"]}
    return iso(at(start)) in starts


def test_a_slot_that_was_taken_meanwhile_is_slot_taken_however_long_the_replica_offers_it(
    salon: Salon, mirror: Salon, pair: Pair
) -> None:
    slot = slot_at(salon, at("13:00"))
    with pair.lagging():
        book(salon, slot)
        assert not offered(salon, "13:00")
        assert offered(mirror, "13:00")
        assert slot in {row[0] for row in anonymous(mirror, "select id from availability_slots")}

        late: dict[str, Any] = {
            "slot_id": slot,
            "session_id": OTHER_SESSION,
            "appointment_type": "cut",
        }
        assert_refused(Api(salon.db).call("reserve_slot", **late), "slot_taken", 409)
        refused = Api(salon.db).call("create_appointment", SERVICE, **late, user_data=ADAS_DATA)
        assert not refused.success
        assert overlaps(salon.db) == []
    assert not offered(mirror, "13:00")
    assert overlaps(mirror.db) == []
    assert mirror.differences() == []


def test_of_many_who_saw_the_same_slot_on_the_stale_replica_one_gets_it(
    salon: Salon, mirror: Salon, pair: Pair
) -> None:
    def reserve(number: int) -> Answer:
        with psycopg.connect(pair.primary_url, autocommit=True) as db:
            set_clock(db)
            start.wait()
            return Api(db).call(
                "reserve_slot", slot_id=slot, session_id=f"session-number-{number:04}"
            )

    start = threading.Barrier(8)
    with pair.lagging(), ThreadPoolExecutor(8) as threads:
        [[slot]] = anonymous(
            mirror, "select id from availability_slots where seats_left = 1 order by 1 limit 1"
        )
        codes = [answer.code for answer in threads.map(reserve, range(8))]
    assert sorted(codes, key=str) == [None] + ["slot_taken"] * 7
    assert overlaps(salon.db) == []


def test_a_slot_that_became_free_meanwhile_is_only_not_listed_yet(
    salon: Salon, mirror: Salon, pair: Pair
) -> None:
    slot = slot_at(salon, at("10:00"))
    (booked,) = rows(salon, "select id from booking.appointments")
    with pair.lagging():
        answer = Api(salon.db).call("cancel_appointment", ADA, appointment_id=booked["id"])
        assert answer.success
        assert offered(salon, "10:00")
        assert not offered(mirror, "10:00")
        again = Api(salon.db).call("reserve_slot", slot_id=slot, session_id=OTHER_SESSION)
        assert again.success
        assert Api(salon.db).call("release_slot", slot_id=slot, session_id=OTHER_SESSION).success
    assert offered(mirror, "10:00")


def test_a_hold_ends_on_the_replica_when_it_ends_though_nothing_is_replayed(
    salon: Salon, mirror: Salon, pair: Pair
) -> None:
    with pair.lagging():
        assert not offered(mirror, "11:00")
        for each in (salon, mirror):
            set_clock(each.db, "2026-03-02 07:10+01")
            assert offered(each, "11:00")


def anonymous(salon: Salon, statement: str) -> list[tuple[Any, ...]]:
    """What anybody reads from a view, by GET."""
    with acting_as(salon.db, ANON, method="GET") as session:
        return session.execute(statement.encode()).fetchall()


# Readers in the way of the replay. max_standby_streaming_delay is 0: they are cancelled at once.


def test_a_view_that_is_in_the_way_of_vacuum_fails_with_40001_and_can_be_read_again(
    salon: Salon, mirror: Salon, pair: Pair
) -> None:
    def read() -> object:
        return anonymous(mirror, "select count(*), pg_sleep(30) from availability_slots")

    with in_the_way(read, mirror) as reading:
        remove_rows(salon)
        with pytest.raises(errors.SerializationFailure, match="canceling statement"):
            reading.result()
    pair.catch_up()
    assert anonymous(mirror, "select count(*) from availability_slots")[0][0] > 100


def test_a_function_that_is_in_the_way_of_vacuum_loses_its_session_with_40001(
    salon: Salon, mirror: Salon, pair: Pair
) -> None:
    """Not only its statement: it reads within a subtransaction, and one cannot be cancelled
    alone. A new session answers."""
    make_slow(salon)
    pair.catch_up()

    def read() -> object:
        return Api(mirror.db).call("get_tenant", method="GET", slug="salon")

    with in_the_way(read, mirror) as reading:
        remove_rows(salon)
        with pytest.raises(errors.SerializationFailure, match="terminating connection"):
            reading.result()
    assert mirror.db.closed
    make_fast(salon)
    pair.catch_up()
    with psycopg.connect(pair.replica_url, autocommit=True) as db:
        assert Api(db).call("get_tenant", method="GET", slug="salon").success


def test_with_hot_standby_feedback_the_rows_stay_until_they_have_been_read(
    salon: Salon, mirror: Salon, pair: Pair
) -> None:
    def read() -> object:
        return anonymous(mirror, "select count(*), pg_sleep(1) from availability_slots")

    with feedback(pair), in_the_way(read, mirror) as reading:
        remove_rows(salon)
        assert reading.result()


def remove_rows(salon: Salon) -> None:
    """Leave old versions of rows behind, and have them removed."""
    salon.db.execute("update booking.availability_slots set seats_left = seats_left")
    salon.db.execute("vacuum booking.availability_slots")


@contextmanager
def in_the_way(read: Callable[[], object], mirror: Salon) -> Iterator[Future[object]]:
    """A reader at work in the replica's session, asleep in the middle of its statement."""
    with (
        ThreadPoolExecutor() as threads,
        psycopg.connect(mirror.db.info.dsn, autocommit=True) as observer,
    ):
        pid = mirror.db.info.backend_pid
        reading = threads.submit(read)
        deadline = time.monotonic() + 10
        while observer.execute(
            "select wait_event from pg_catalog.pg_stat_activity where pid = %s", (pid,)
        ).fetchone() != ("PgSleep",):
            assert time.monotonic() < deadline and not reading.done()
            time.sleep(0.01)
        yield reading


@contextmanager
def feedback(pair: Pair) -> Iterator[None]:
    """While in here the primary knows what the replica reads."""
    switch = "alter system set hot_standby_feedback = {}"
    with (
        psycopg.connect(pair.replica.url, autocommit=True) as replica,
        psycopg.connect(pair.primary.url, autocommit=True) as primary,
    ):
        for state in ("on", "off"):
            replica.execute(switch.format(state).encode())
            replica.execute("select pg_catalog.pg_reload_conf()")
            while primary.execute(
                "select backend_xmin is not null from pg_catalog.pg_stat_replication"
            ).fetchone() != (state == "on",):
                time.sleep(0.05)
            if state == "on":
                yield


def make_slow(salon: Salon) -> None:
    """Let get_tenant take half a minute."""
    salon.db.execute("alter function booking.get_tenant(jsonb) rename to get_tenant_at_once")
    salon.db.execute(
        "create function booking.get_tenant(p_request jsonb) returns jsonb language sql as"
        " 'select booking.get_tenant_at_once(p_request) from pg_catalog.pg_sleep(30)'"
    )


def make_fast(salon: Salon) -> None:
    salon.db.execute("drop function booking.get_tenant(jsonb)")
    salon.db.execute("alter function booking.get_tenant_at_once(jsonb) rename to get_tenant")
