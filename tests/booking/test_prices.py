"""What a cut costs: 40 euros, and what the salon's price rules make of it. Listings, quotes and
appointments say the same.

The salon is in Berlin; Ada works every day from 9 to 17; it is Monday, 2 March 2026, 7:00.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.api import ANON, SERVICE
from tests.api.asking import BERLIN, listed, next_available
from tests.booking.booked import (
    SESSION,
    add_service,
    appointment,
    book,
    call,
    create,
    reserve,
    rows,
    slot_at,
)
from tests.salon import TEN, Salon, make_salon, set_clock

MOST = 2147483647


@pytest.fixture(scope="module")
def priced(module_database_url: str) -> Iterator[Salon]:
    """A salon for tests that take back what they write."""
    with psycopg.connect(module_database_url, autocommit=True) as db:
        yield costing(make_salon(db), 4000)


@pytest.fixture
def shop(priced: Salon) -> Iterator[Salon]:
    """It, until the test is over."""
    with priced.db.transaction(force_rollback=True):
        set_clock(priced.db)
        yield priced


def costing(salon: Salon, price_cents: int, currency: str = "EUR") -> Salon:
    """The cut's base price."""
    salon.db.execute(
        "update booking.appointment_types set price_cents = %s, currency = %s where id = %s",
        (price_cents, currency, salon.cut),
    )
    return salon


def rule(salon: Salon, **columns: object) -> UUID:
    """A price rule, 10 percent more unless it says something else."""
    if not columns.keys() & {"adjustment_percent", "adjustment_cents"}:
        columns["adjustment_percent"] = 10
    return salon.insert("price_rules", **columns)


def when(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    """A local time; of two it is the first."""
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def price(
    salon: Salon,
    start: datetime = TEN,
    type_id: UUID | None = None,
    person: UUID | None = None,
    location: UUID | None = None,
) -> int | None:
    """What it costs at a time, now."""
    (row,) = rows(
        salon,
        "select booking.price_of(%s, %s, %s, %s, %s) as cents",
        *(salon.tenant, type_id or salon.cut, person or salon.person),
        *(location or salon.location, start),
    )
    cents = row["cents"]
    assert cents is None or isinstance(cents, int)
    return cents


# Conditions

CONDITIONS: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("always", {}, {"2026-03-03 10:00": 4400}),
    (
        "on Saturdays",
        {"weekdays": [6]},
        {"2026-03-06 23:59": 4000, "2026-03-07 00:00": 4400, "2026-03-07 23:59": 4400}
        | {"2026-03-08 00:00": 4000},
    ),
    (
        "on Mondays and Sundays",
        {"weekdays": [7, 1]},
        {"2026-03-07 10:00": 4000, "2026-03-08 10:00": 4400, "2026-03-09 10:00": 4400},
    ),
    ("on no day", {"weekdays": []}, {"2026-03-03 10:00": 4000}),
    (
        "in the evening",
        {"start_time": "17:00", "end_time": "20:00"},
        {"2026-03-03 16:59": 4000, "2026-03-03 17:00": 4400, "2026-03-03 19:59": 4400}
        | {"2026-03-03 20:00": 4000},
    ),
    (
        "from six until the day ends",
        {"start_time": "18:00", "end_time": "24:00"},
        {"2026-03-03 17:59": 4000, "2026-03-03 23:59": 4400, "2026-03-04 00:00": 4000},
    ),
    (
        "at night",
        {"start_time": "22:00", "end_time": "02:00"},
        {"2026-03-03 21:59": 4000, "2026-03-03 22:00": 4400, "2026-03-04 00:00": 4400}
        | {"2026-03-04 01:59": 4400, "2026-03-04 02:00": 4000},
    ),
    (
        "on Saturdays at night: what begins after midnight is the next date's",
        {"weekdays": [6], "start_time": "22:00", "end_time": "02:00"},
        {"2026-03-07 01:00": 4400, "2026-03-07 23:00": 4400, "2026-03-08 01:00": 4000},
    ),
    (
        "at night until the end of the season",
        {"valid_until": "2026-03-07", "start_time": "22:00", "end_time": "02:00"},
        {"2026-03-07 23:00": 4400, "2026-03-08 01:00": 4000},
    ),
    (
        "from nine to nine, which is round the clock",
        {"start_time": "09:00", "end_time": "09:00"},
        {"2026-03-03 08:59": 4400, "2026-03-03 09:00": 4400},
    ),
    (
        "from the 4th to the 6th",
        {"valid_from": "2026-03-04", "valid_until": "2026-03-06"},
        {"2026-03-03 23:59": 4000, "2026-03-04 00:00": 4400, "2026-03-06 23:59": 4400}
        | {"2026-03-07 00:00": 4000},
    ),
    (
        "from the 4th on",
        {"valid_from": "2026-03-04"},
        {"2026-03-03 23:59": 4000, "2027-03-04 00:00": 4400},
    ),
    (
        "a day ahead or more",
        {"min_lead_minutes": 1440},
        {"2026-03-03 06:59": 4000, "2026-03-03 07:00": 4400, "2026-03-10 07:00": 4400},
    ),
    (
        "at most two hours ahead",
        {"max_lead_minutes": 120},
        {"2026-03-02 07:00": 4400, "2026-03-02 09:00": 4400, "2026-03-02 09:01": 4000},
    ),
    (
        "one to two hours ahead",
        {"min_lead_minutes": 60, "max_lead_minutes": 120},
        {"2026-03-02 07:59": 4000, "2026-03-02 08:00": 4400, "2026-03-02 09:00": 4400}
        | {"2026-03-02 09:01": 4000},
    ),
    (
        "all of it: Saturday evenings in March",
        {"weekdays": [6], "start_time": "17:00", "end_time": "20:00"}
        | {"valid_from": "2026-03-01", "valid_until": "2026-03-31"},
        {"2026-03-28 17:00": 4400, "2026-03-28 16:00": 4000, "2026-03-29 17:00": 4000}
        | {"2026-04-04 17:00": 4000},
    ),
]


@pytest.mark.parametrize(
    ("columns", "prices"),
    [example[1:] for example in CONDITIONS],
    ids=[example[0] for example in CONDITIONS],
)
def test_ten_percent_more(shop: Salon, columns: dict[str, object], prices: dict[str, int]) -> None:
    rule(shop, **columns)
    assert {text: price(shop, when(text)) for text in prices} == prices


def test_lead_is_counted_in_whole_minutes(shop: Salon) -> None:
    rule(shop, max_lead_minutes=119)
    set_clock(shop.db, "2026-03-02 07:00:00+01")
    assert price(shop, when("2026-03-02 09:00")) == 4000
    set_clock(shop.db, "2026-03-02 07:00:01+01")
    assert price(shop, when("2026-03-02 09:00")) == 4400


def test_a_rule_for_one_service_is_for_that_service(shop: Salon) -> None:
    colour = add_service(shop, "colour", price_cents=9000)
    rule(shop, appointment_type_id=colour)
    assert (price(shop), price(shop, type_id=colour)) == (4000, 9900)


def test_a_rule_for_one_person_is_for_that_person(shop: Salon) -> None:
    ben = shop.add_person()
    rule(shop, staff_id=ben)
    assert (price(shop), price(shop, person=ben)) == (4000, 4400)


def test_a_rule_for_one_place_is_for_that_place(shop: Salon) -> None:
    nord = shop.insert("locations", name="Nord")
    rule(shop, location_id=nord)
    assert (price(shop), price(shop, location=nord)) == (4000, 4400)


def test_time_of_day_and_date_are_the_places(shop: Salon) -> None:
    auckland = shop.insert("locations", name="Queen Street", timezone="Pacific/Auckland")
    rule(shop, weekdays=[3], start_time="08:00", end_time="09:00")
    start = when("2026-03-04 08:30", ZoneInfo("Pacific/Auckland"))
    assert start.astimezone(BERLIN).isoweekday() == 2
    assert (price(shop, start), price(shop, start, location=auckland)) == (4000, 4400)


def test_rules_of_another_tenant_change_nothing(shop: Salon) -> None:
    rule(make_salon(shop.db))
    assert price(shop) == 4000


def test_a_service_that_does_not_exist_has_no_price(shop: Salon) -> None:
    assert price(shop, type_id=uuid4()) is None
    rule(shop)
    assert price(shop, type_id=uuid4()) is None


@pytest.mark.parametrize(
    ("instant", "fits"),
    [
        # In March the hour from 2 to 3 is skipped.
        ("2026-03-29 00:59+00", False),
        ("2026-03-29 01:00+00", False),
        # In October it comes twice.
        ("2026-10-24 23:59+00", False),
        ("2026-10-25 00:00+00", True),
        ("2026-10-25 00:59+00", True),
        ("2026-10-25 01:00+00", True),
        ("2026-10-25 01:59+00", True),
        ("2026-10-25 02:00+00", False),
    ],
)
def test_from_two_to_three_on_the_days_clocks_change(shop: Salon, instant: str, fits: bool) -> None:
    rule(shop, start_time="02:00", end_time="03:00", weekdays=[7])
    assert price(shop, datetime.fromisoformat(instant)) == (4400 if fits else 4000)


# Which rules count. Each is (percent, cents, priority, stacks).

COUNTING: list[tuple[str, list[tuple[float, int, int, bool]], int]] = [
    ("no rule", [], 4000),
    ("10 percent less", [(-10, 0, 0, False)], 3600),
    ("5 euros more", [(0, 500, 0, False)], 4500),
    ("percent before cents: 10 percent more, then 5 euros", [(10, 500, 0, False)], 4900),
    ("the higher priority alone", [(10, 0, 1, False), (-50, 0, 2, False)], 2000),
    ("priorities may be negative", [(10, 0, -1, False), (-50, 0, -2, False)], 4400),
    ("two that stack are added", [(10, 0, 1, True), (20, 0, 2, True)], 5200),
    ("percent of the base price, not of each other", [(50, 0, 1, True), (-50, 0, 2, True)], 4000),
    ("cents after all percents", [(0, 1000, 2, True), (-50, 0, 1, True)], 3000),
    ("the highest does not stack: it alone", [(10, 0, 1, True), (20, 0, 2, False)], 4800),
    ("the highest stacks: only what stacks", [(10, 0, 2, True), (20, 0, 1, False)], 4400),
    (
        "the highest stacks, over one that does not, with one below that does",
        [(10, 0, 3, True), (50, 0, 2, False), (5, 100, 1, True)],
        4700,
    ),
    ("for nothing", [(-100, 0, 0, False)], 0),
    ("never below nothing", [(0, -4001, 0, False)], 0),
    ("never below nothing, by percents", [(-60, 0, 0, True), (-60, 0, 1, True)], 0),
    ("below nothing in between", [(-60, 0, 0, True), (-60, 900, 1, True)], 100),
    ("a third of a percent", [(0.33, 0, 0, False)], 4013),
    ("one that changes nothing keeps others away", [(0, 0, 1, False), (10, 0, 0, False)], 4000),
    ("no more than an integer holds", [(99999, MOST, 0, True), (99999, MOST, 0, True)], MOST),
]


@pytest.mark.parametrize("is_reversed", [False, True], ids=["in order", "in reverse"])
@pytest.mark.parametrize(
    ("rules", "expected"),
    [example[1:] for example in COUNTING],
    ids=[example[0] for example in COUNTING],
)
def test_of_forty_euros(
    shop: Salon,
    rules: list[tuple[float, int, int, bool]],
    expected: int,
    is_reversed: bool,
) -> None:
    for percent, cents, priority, stacks in reversed(rules) if is_reversed else rules:
        rule(
            shop,
            adjustment_percent=percent,
            adjustment_cents=cents,
            priority=priority,
            stacks=stacks,
        )
    assert price(shop) == expected


@pytest.mark.parametrize("lowest", [0, 1])
def test_of_equal_priorities_the_lowest_id_decides(shop: Salon, lowest: int) -> None:
    for n, percent in enumerate((10, 20)):
        rule(shop, id=UUID(int=2 - (n == lowest)), adjustment_percent=percent)
    assert price(shop) == (4400, 4800)[lowest]


def test_a_rule_that_does_not_fit_keeps_nothing_away(shop: Salon) -> None:
    rule(shop, weekdays=[6], priority=9, adjustment_percent=50)
    rule(shop)
    assert price(shop) == 4400


# Rounding


@pytest.mark.parametrize(
    ("cents", "currency", "expected"),
    [
        ("1234", "EUR", 1234),
        ("1234.4999999999999999999999", "EUR", 1234),
        ("1234.5", "EUR", 1235),
        ("1235.5", "EUR", 1236),
        ("0.4", "EUR", 0),
        ("0.5", "EUR", 1),
        ("-0.5", "EUR", 0),
        ("-1234", "EUR", 0),
        ("2147483647.4", "EUR", MOST),
        ("2147483647.5", "EUR", MOST),
        ("1e30", "EUR", MOST),
        ("123449", "JPY", 123400),
        ("123450", "JPY", 123500),
        ("123449.9999999999999999999999", "JPY", 123400),
        ("49", "JPY", 0),
        ("-50", "JPY", 0),
        ("1e30", "JPY", 2147483600),
        ("2147483649", "KRW", 2147483600),
        ("1250", "CLP", 1300),
        ("1250", "ISK", 1300),
        ("1250", "UYI", 1300),
        # Thousandths are not kept; Hungary's filler and Taiwan's cent exist by ISO 4217.
        ("1250.5", "KWD", 1251),
        ("1250.5", "HUF", 1251),
        ("1250", "TWD", 1250),
        (None, "EUR", None),
    ],
)
def test_rounded_half_up_to_what_the_currency_has(
    shop: Salon, cents: str | None, currency: str, expected: int | None
) -> None:
    (row,) = rows(shop, "select booking.rounded_price(%s::numeric, %s) as cents", cents, currency)
    assert row["cents"] == expected


def test_currencies_without_minor_units_are_those_of_iso_4217(shop: Salon) -> None:
    codes = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
    found = rows(
        shop,
        "select a || b || c as code from (select chr(n) as a from generate_series(65, 90) n) x,"
        " (select chr(n) as b from generate_series(65, 90) n) y,"
        " (select chr(n) as c from generate_series(65, 90) n) z"
        " where booking.rounded_price(60, a || b || c) <> 60 order by 1",
    )
    assert " ".join(row["code"] for row in found) == codes


def test_where_no_rule_fits_a_price_stays_as_odd_as_it_is(shop: Salon) -> None:
    costing(shop, 123456, "JPY")
    rule(shop, weekdays=[6], adjustment_percent=10)
    assert price(shop) == 123456
    assert price(shop, when("2026-03-07 10:00")) == 135800


# How full the day is: Ada works on Tuesday from 9 to 17, which is 480 minutes.


def load(salon: Salon, day: str = "2026-03-03", location: UUID | None = None) -> int:
    """Percent of Ada's day that is taken."""
    (row,) = rows(
        salon,
        "select load_percent from booking.day_loads(%s, array[%s], array[%s], array[%s]::date[])",
        *(salon.tenant, salon.person, location or salon.location, day),
    )
    percent = row["load_percent"]
    assert isinstance(percent, int)
    return percent


def busy(salon: Salon, first: str, last: str) -> None:
    """Another calendar says so."""
    salon.insert("busy_times", staff_id=salon.person, start_time=when(first), end_time=when(last))


def works(salon: Salon, first: str, last: str, weekday: int, location: UUID | None = None) -> None:
    """More working time."""
    salon.insert(
        "working_hours",
        staff_id=salon.person,
        location_id=location or salon.location,
        weekday=weekday,
        start_time=first,
        end_time=last,
    )


def test_nothing_is_booked(shop: Salon) -> None:
    assert load(shop) == 0


def test_an_appointment_of_half_an_hour_is_6_percent_of_eight_hours(shop: Salon) -> None:
    shop.appointment(TEN)
    assert load(shop) == 6
    assert load(shop, "2026-03-04") == 0


def test_buffers_are_taken_too(shop: Salon) -> None:
    shop.appointment(TEN, buffer_before_minutes=5, buffer_after_minutes=13)
    assert load(shop) == 10


def test_a_cancelled_appointment_takes_nothing_and_one_missed_does(shop: Salon) -> None:
    shop.appointment(TEN, 48, status="cancelled")
    assert load(shop) == 0
    set_clock(shop.db, "2026-03-03 12:00+01")
    shop.appointment(TEN, 48, status="no_show")
    assert load(shop) == 10


def test_a_hold_takes_nothing(shop: Salon) -> None:
    shop.hold(shop.cut)
    assert load(shop) == 0


def test_other_calendars_take_time_and_no_minute_counts_twice(shop: Salon) -> None:
    shop.appointment(when("2026-03-03 10:00"), 60)
    busy(shop, "2026-03-03 10:30", "2026-03-03 11:12")
    busy(shop, "2026-03-03 11:00", "2026-03-03 11:12")
    assert load(shop) == 15


def test_only_working_time_can_be_taken(shop: Salon) -> None:
    busy(shop, "2026-03-02 12:00", "2026-03-03 09:48")
    busy(shop, "2026-03-03 16:12", "2026-03-04 09:00")
    assert load(shop) == 20


def test_a_full_day_is_100_percent_and_all_but_a_minute_99(shop: Salon) -> None:
    busy(shop, "2026-03-03 09:00", "2026-03-03 16:59")
    assert load(shop) == 99
    busy(shop, "2026-03-03 16:59", "2026-03-03 17:00")
    assert load(shop) == 100


def test_breaks_are_no_working_time(shop: Salon) -> None:
    shop.insert("breaks", start_time="09:00", end_time="13:00")
    busy(shop, "2026-03-03 12:30", "2026-03-03 13:24")
    assert load(shop) == 10


def test_a_day_without_working_time_is_empty(shop: Salon) -> None:
    shop.insert(
        "schedule_exceptions", first_date="2026-03-03", last_date="2026-03-03", kind="closed"
    )
    busy(shop, "2026-03-03 09:00", "2026-03-03 17:00")
    assert load(shop) == 0


def test_a_night_shift_counts_on_both_of_its_dates(shop: Salon) -> None:
    shop.db.execute("delete from booking.working_hours where staff_id = %s", (shop.person,))
    works(shop, "22:00", "03:00", weekday=2)
    busy(shop, "2026-03-03 23:00", "2026-03-04 00:30")
    assert load(shop, "2026-03-03") == 50
    assert load(shop, "2026-03-04") == 16


def test_each_place_has_its_own_working_time_and_what_is_taken_anywhere_counts(
    shop: Salon,
) -> None:
    nord = shop.insert("locations", name="Nord")
    works(shop, "17:00", "21:00", 2, nord)
    shop.appointment(when("2026-03-03 16:00"), 120)
    assert load(shop) == 12
    assert load(shop, location=nord) == 25
    assert load(shop, location=shop.insert("locations", name="Nowhere")) == 0


def test_the_day_is_the_places(shop: Salon) -> None:
    tokyo = shop.insert("locations", name="Ginza", timezone="Asia/Tokyo")
    works(shop, "00:00", "24:00", 3, tokyo)
    busy(shop, "2026-03-03 15:00", "2026-03-03 16:00")
    busy(shop, "2026-03-03 18:24", "2026-03-03 21:24")
    assert load(shop, "2026-03-04", tokyo) == 12


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)]
)
def test_a_day_round_the_clock_has_as_many_hours_as_it_has(
    shop: Salon, day: str, hours: int
) -> None:
    shop.db.execute("delete from booking.working_hours where staff_id = %s", (shop.person,))
    for weekday in range(1, 8):
        works(shop, "00:00", "24:00", weekday)
    minutes = hours * 6  # a tenth
    noon = f"{day} 12:00"
    shop.appointment(when(noon), minutes - 1)
    assert load(shop, day) == 9
    busy(shop, noon, f"{day} {12 + minutes // 60}:{minutes % 60:02}")
    assert load(shop, day) == 10


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({"min_load_percent": 6}, True),
        ({"min_load_percent": 7}, False),
        ({"max_load_percent": 6}, True),
        ({"max_load_percent": 5}, False),
        ({"min_load_percent": 0, "max_load_percent": 100}, True),
        ({"min_load_percent": 6, "max_load_percent": 6}, True),
    ],
    ids=str,
)
def test_a_day_that_is_6_percent_full_costs(
    shop: Salon, conditions: dict[str, object], fits: bool
) -> None:
    shop.appointment(TEN)
    rule(shop, **conditions)
    assert price(shop, when("2026-03-03 12:00")) == (4400 if fits else 4000)


def test_each_persons_day_counts_for_them(shop: Salon) -> None:
    ben = shop.add_person()
    shop.appointment(TEN, 240)
    rule(shop, max_load_percent=20, adjustment_percent=-10)
    assert (price(shop), price(shop, person=ben)) == (4000, 3600)


# Many slots at once


def many(salon: Salon, slots: list[tuple[UUID, datetime]]) -> list[tuple[int, int]]:
    """Prices by position."""
    found = rows(
        salon,
        "select * from booking.slot_prices(%s, %s, %s, %s, %s) order by position",
        *(salon.tenant, salon.cut, [person for person, _ in slots]),
        *([salon.location] * len(slots), [start for _, start in slots]),
    )
    return [(row["position"], row["price_cents"]) for row in found]


def test_prices_are_told_by_position(shop: Salon) -> None:
    ben = shop.add_person()
    slots = [
        (ben, when("2026-03-07 10:00")),
        (shop.person, TEN),
        (shop.person, when("2026-03-07 10:00")),
        (ben, TEN),
        (shop.person, TEN),
    ]
    assert many(shop, slots) == [(n, 4000) for n in range(1, 6)]
    rule(shop, staff_id=ben, stacks=True)
    rule(shop, weekdays=[6], adjustment_percent=25, stacks=True)
    assert many(shop, slots) == [(1, 5400), (2, 4000), (3, 5000), (4, 4400), (5, 4000)]
    assert many(shop, []) == []


@pytest.mark.parametrize(
    ("rules", "measured"),
    [
        ([], 0),
        ([{}], 0),
        ([{"weekdays": [6], "min_load_percent": 10}], 0),
        ([{"min_load_percent": 10}], 1),
        ([{"min_load_percent": 10}, {"max_load_percent": 50, "stacks": True}, {}], 1),
    ],
    ids=str,
)
def test_days_are_measured_once_and_only_where_it_matters(
    shop: Salon, rules: list[dict[str, object]], measured: int
) -> None:
    for columns in rules:
        rule(shop, **columns)
    shop.db.execute("set local track_functions = 'all'")
    calls = (
        "select coalesce(sum(calls), 0) as calls from pg_catalog.pg_stat_xact_user_functions"
        " where funcname = any (%s)"
    )
    measuring = ["working_time", "busy_time", "day_loads"]
    ben = shop.add_person()
    (before,) = rows(shop, calls, measuring)
    slots = [(who, TEN + timedelta(hours=n)) for who in (shop.person, ben) for n in range(6)]
    assert len(many(shop, slots)) == 12
    (after,) = rows(shop, calls, measuring)
    assert after["calls"] - before["calls"] == measured * len(measuring)


# What clients see


def test_lists_tell_each_slots_price(salon: Salon) -> None:
    costing(salon, 4000)
    rule(salon, start_time="16:00", end_time="17:00", adjustment_cents=500)
    slots = listed(salon, appointment_type="cut")
    assert {slot["currency"] for slot in slots} == {"EUR"}
    told = {slot["start_time"]: slot["price_cents"] for slot in slots}
    assert told["2026-03-03T14:45:00Z"] == 4000
    assert told["2026-03-03T15:00:00Z"] == told["2026-03-03T15:30:00Z"] == 4500
    assert set(told.values()) == {4000, 4500}

    (first,) = next_available(
        salon, appointment_type="cut", from_time="2026-03-03T14:50:00Z", max_results=1
    )
    assert (first["start_time"], first["price_cents"]) == ("2026-03-03T15:00:00Z", 4500)


def test_lists_of_no_service_tell_no_price(salon: Salon) -> None:
    costing(salon, 4000)
    rule(salon)
    assert not any("price_cents" in slot or "currency" in slot for slot in listed(salon))


def test_pages_tell_the_same_prices(salon: Salon) -> None:
    costing(salon, 4000)
    rule(salon, start_time="12:00", end_time="13:00")
    whole = listed(salon, appointment_type="cut")
    assert listed(salon, appointment_type="cut", max_results=7) == whole
    assert {slot["price_cents"] for slot in whole} == {4000, 4400}


def test_a_quote_is_kept_although_rules_change(salon: Salon) -> None:
    costing(salon, 4000)
    evening = rule(salon)
    slot = slot_at(salon)
    assert reserve(salon, slot).body["price_cents"] == 4400

    salon.db.execute(
        "update booking.price_rules set adjustment_percent = 50 where id = %s", (evening,)
    )
    costing(salon, 5000)
    assert reserve(salon, slot).body["price_cents"] == 4400
    (shown,) = call(salon, "get_reservations", session_id=SESSION).body["reservations"]
    assert shown["price_cents"] == 4400
    answer = create(salon, slot)
    assert answer.body["price_cents"] == 4400

    salon.db.execute("delete from booking.price_rules where id = %s", (evening,))
    booked = UUID(answer.body["appointment_id"])
    assert appointment(salon, booked)["price_cents"] == 4400


def test_a_move_keeps_the_price(salon: Salon) -> None:
    costing(salon, 4000)
    rule(salon, end_time="12:00", start_time="09:00")
    booking = book(salon)
    later = slot_at(salon, when("2026-03-03 14:00"))
    answer = call(
        salon,
        "reschedule_appointment",
        appointment_id=booking.appointment,
        slot_id=later,
        manage_token=booking.token,
    )
    assert answer.success
    assert appointment(salon, booking.appointment)["price_cents"] == 4400


def test_a_hold_that_is_changed_to_another_service_is_quoted_anew(salon: Salon) -> None:
    costing(salon, 4000)
    shave = add_service(salon, "shave", price_cents=2000, currency="CHF")
    rule(salon, appointment_type_id=shave, adjustment_percent=50)
    slot = slot_at(salon)
    assert reserve(salon, slot).body["price_cents"] == 4000
    changed = reserve(salon, slot, appointment_type="shave").body
    assert (changed["price_cents"], changed["currency"]) == (3000, "CHF")


@pytest.mark.parametrize("held_for", [None, "shave"])
def test_what_was_held_for_something_else_costs_what_it_does_when_booked(
    salon: Salon, held_for: str | None
) -> None:
    costing(salon, 4000)
    add_service(salon, "shave", price_cents=2000, currency="CHF")
    slot = slot_at(salon)
    quoted = reserve(salon, slot, appointment_type=held_for).body.get("price_cents")
    assert quoted == (None if held_for is None else 2000)
    rule(salon)
    answer = create(salon, slot, appointment_type="cut")
    assert (answer.body["price_cents"], answer.body["currency"]) == (4400, "EUR")


def test_what_rules_make_free_needs_no_payment(salon: Salon) -> None:
    costing(salon, 4000)
    salon.db.execute(
        "update booking.appointment_types set requires_payment = true where id = %s", (salon.cut,)
    )
    rule(salon, adjustment_percent=-100)
    slot = slot_at(salon)
    reserve(salon, slot)
    answer = create(salon, slot)
    assert (answer.body["price_cents"], answer.body["status"]) == (0, "confirmed")


def test_without_rules_everything_costs_the_base_price(salon: Salon) -> None:
    costing(salon, 4000)
    assert {slot["price_cents"] for slot in listed(salon, appointment_type="cut")} == {4000}
    assert appointment(salon, book(salon).appointment)["price_cents"] == 4000


@pytest.mark.parametrize("caller", [ANON, SERVICE])
def test_nobody_reads_the_rules(salon: Salon, caller: Any) -> None:
    for statement in (
        "select from booking.price_rules",
        "select booking.price_of(null, null, null, null, null)",
        "select from booking.slot_prices(null, null, null, null, null)",
        "select from booking.day_loads(null, null, null, null)",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            salon.db.transaction(),
        ):
            salon.db.execute(f"set local role {caller.role}".encode())
            salon.db.execute(statement.encode())


# Listing = quote = appointment = what a few lines of Python say, for random rules.


@dataclass(frozen=True)
class Rule:
    """A price rule as its owner thinks of it."""

    columns: dict[str, Any]

    def fits(self, start: datetime, now: datetime, percent_taken: int) -> bool:
        """Whether all conditions hold at a local start."""
        get = self.columns.get
        return (
            start.isoweekday() in get("weekdays", range(1, 8))
            and self.has(start.time())
            and get("valid_from", date.min) <= start.date() <= get("valid_until", date.max)
            and self.is_between("lead_minutes", (start - now) // timedelta(minutes=1))
            and self.is_between("load_percent", percent_taken)
        )

    def has(self, clock: time) -> bool:
        """Whether the time of day is one of the rule's."""
        if "start_time" not in self.columns:
            return True
        first, end = self.columns["start_time"], self.columns["end_time"]
        return bool(first <= clock < end if first < end else clock >= first or clock < end)

    def is_between(self, name: str, value: int) -> bool:
        """Whether a number is within the bounds."""
        least, most = self.columns.get(f"min_{name}", 0), self.columns.get(f"max_{name}", value)
        return bool(least <= value <= most)


def price_by_hand(base: int, unit: int, fitting: list[Rule]) -> int:
    """From README."""
    if not fitting:
        return base
    ranked = sorted((r.columns for r in fitting), key=lambda c: (-c["priority"], c["id"].bytes))
    counting = [c for c in ranked if c["stacks"]] if ranked[0]["stacks"] else ranked[:1]
    percent = sum((c["adjustment_percent"] for c in counting), Decimal(0))
    cents = sum(c["adjustment_cents"] for c in counting)
    exact: Decimal = base * (1 + percent / 100) + cents
    return max(0, math.floor(exact / unit + Decimal("0.5")) * unit)


hours = st.integers(8, 18).map(time)
dates = st.integers(2, 6).map(lambda day: date(2026, 3, day))
minutes = st.integers(0, 5000)
percents = st.integers(0, 40)


@st.composite
def random_rules(draw: st.DrawFn) -> Rule:
    """Few conditions, so that some fit."""
    columns: dict[str, Any] = {
        "id": draw(st.uuids()),
        "adjustment_percent": draw(st.decimals(-100, 100, places=2)),
        "adjustment_cents": draw(st.integers(-2000, 2000)),
        "priority": draw(st.integers(0, 2)),
        "stacks": draw(st.booleans()),
    }
    choices: dict[str, Any] = {
        "weekdays": st.lists(st.integers(1, 5), min_size=1, max_size=4),
        "times": st.tuples(hours, hours),
        "season": st.tuples(dates, dates).map(sorted),
        "lead": st.tuples(minutes, minutes).map(sorted),
        "load": st.tuples(percents, percents).map(sorted),
    }
    names = {
        "times": ("start_time", "end_time"),
        "season": ("valid_from", "valid_until"),
        "lead": ("min_lead_minutes", "max_lead_minutes"),
        "load": ("min_load_percent", "max_load_percent"),
    }
    for name in draw(st.lists(st.sampled_from(sorted(choices)), max_size=2, unique=True)):
        value = draw(choices[name])
        columns |= dict(zip(names[name], value, strict=True)) if name in names else {name: value}
    return Rule(columns)


def test_what_is_listed_is_quoted_and_booked_for_any_rules(module_database_url: str) -> None:
    seen: list[int] = []
    now = when("2026-03-02 07:00")

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(
        st.lists(random_rules(), max_size=5, unique_by=lambda rule: rule.columns["id"]),
        st.integers(0, 100000),
        st.sampled_from([("EUR", 1), ("JPY", 100)]),
        st.lists(st.tuples(st.integers(3, 5), st.integers(1, 200)), max_size=2),
        st.data(),
    )
    def compare(
        rules: list[Rule],
        base: int,
        currency: tuple[str, int],
        taken: list[tuple[int, int]],
        data: st.DataObject,
    ) -> None:
        with db.transaction(force_rollback=True):
            set_clock(db)
            costing(salon, base, currency[0])
            for each in rules:
                salon.insert("price_rules", **each.columns)
            minutes_taken = dict.fromkeys((3, 4, 5), 0)
            for day, length in taken:
                first = datetime(2026, 3, day, 9, tzinfo=BERLIN)
                busy_time = {"start_time": first, "end_time": first + timedelta(minutes=length)}
                salon.insert("busy_times", staff_id=salon.person, **busy_time)
                minutes_taken[day] = max(minutes_taken[day], length)

            slots = listed(salon, "2026-03-03", "2026-03-05", method="POST", appointment_type="cut")
            assert slots
            for slot in slots:
                start = datetime.fromisoformat(slot["start_time"]).astimezone(BERLIN)
                load_percent = 100 * minutes_taken[start.day] // 480
                fitting = [each for each in rules if each.fits(start, now, load_percent)]
                expected = price_by_hand(base, currency[1], fitting)
                assert slot["price_cents"] == expected, (slot, fitting)
                seen.append(len(fitting))

            chosen = data.draw(st.sampled_from(slots), "slot")
            held = reserve(salon, UUID(chosen["id"]))
            db.execute("reset role")
            db.execute("delete from booking.price_rules")
            booked = create(salon, UUID(chosen["id"]))
            assert held.body["price_cents"] == chosen["price_cents"]
            assert held.body["currency"] == chosen["currency"] == currency[0]
            assert booked.body["price_cents"] == chosen["price_cents"]

    with psycopg.connect(module_database_url, autocommit=True) as db:
        salon = make_salon(db)
        compare()
    assert {0, 1, 2} <= set(seen)
