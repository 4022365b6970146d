"""What the tables refuse, and that the refusal says which rule it breaks."""

from datetime import date, timedelta
from typing import Any

import pytest
from psycopg import errors

from tests.salon import TEN, Salon, insert

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("tenants", {"name": "T", "timezone": "Mars/Phobos"}, "timezone_is_an_iana_name"),
    ("tenants", {"name": "T", "timezone": "CEST"}, "timezone_is_an_iana_name"),
    ("tenants", {"name": "T", "timezone": "+02:00"}, "timezone_is_an_iana_name"),
    ("tenants", {"name": " ", "timezone": "UTC"}, "tenant_name_is_not_blank"),
    (
        "tenants",
        {"name": "T", "timezone": "UTC", "slot_step_minutes": 0},
        "slot_step_minutes_is_1_to_1440",
    ),
    (
        "tenants",
        {"name": "T", "timezone": "UTC", "slot_alignment": "grid"},
        "slot_alignment_is_window_clock_or_gapless",
    ),
    ("tenants", {"name": "T", "timezone": "UTC", "refresh_hour": 24}, "refresh_hour_is_0_to_23"),
    ("locations", {"name": "L", "timezone": "Berlin"}, "timezone_is_an_iana_name"),
    (
        "appointment_types",
        {"code": "x", "name": "X", "duration_minutes": 0},
        "duration_minutes_is_1_to_1440",
    ),
    (
        "appointment_types",
        {"code": "x", "name": "X", "duration_minutes": 24 * 60 + 1},
        "duration_minutes_is_1_to_1440",
    ),
    (
        "appointment_types",
        {"code": "x", "name": "X", "duration_minutes": 30, "buffer_before_minutes": -5},
        "buffer_before_minutes_is_0_to_1440",
    ),
    (
        "appointment_types",
        {"code": "x", "name": "X", "duration_minutes": 30, "buffer_after_minutes": -5},
        "buffer_after_minutes_is_0_to_1440",
    ),
    (
        "appointment_types",
        {"code": "x", "name": "X", "duration_minutes": 30, "capacity": 0},
        "capacity_is_1_to_10000",
    ),
    (
        "appointment_types",
        {"code": "x", "name": "X", "duration_minutes": 30, "slot_step_minutes": 0},
        "slot_step_minutes_is_1_to_1440",
    ),
    ("working_hours", {"weekday": 9}, "weekday_is_1_monday_to_7_sunday"),
    ("working_hours", {"weekday": 0}, "weekday_is_1_monday_to_7_sunday"),
    ("working_hours", {"start_time": "24:00"}, "start_time_is_before_24_00"),
    ("working_hours", {"start_time": "09:00:30"}, "hours_are_whole_minutes"),
    (
        "working_hours",
        {"valid_from": date(2026, 5, 1), "valid_until": date(2026, 4, 30)},
        "valid_until_is_not_before_valid_from",
    ),
    (
        "schedule_exceptions",
        {"first_date": date(2026, 5, 2), "last_date": date(2026, 5, 1), "kind": "closed"},
        "last_date_is_not_before_first_date",
    ),
    (
        "schedule_exceptions",
        {"first_date": date(2026, 5, 2), "last_date": date(2026, 5, 2), "kind": "holiday"},
        "exception_kind_is_closed_or_open",
    ),
    (
        "schedule_exceptions",
        {
            "first_date": date(2026, 5, 2),
            "last_date": date(2026, 5, 2),
            "kind": "open",
            "start_time": "09:00",
        },
        "exception_has_both_times_or_neither",
    ),
    (
        "schedule_exceptions",
        {"last_date": "infinity", "kind": "closed"},
        "exception_dates_are_between_1900_and_9999",
    ),
    ("breaks", {"weekday": 8}, "break_weekday_is_1_monday_to_7_sunday"),
    (
        "busy_times",
        {"start_time": TEN, "end_time": TEN - timedelta(minutes=1)},
        "busy_time_ends_after_it_starts",
    ),
    ("busy_times", {"start_time": TEN, "end_time": TEN}, "busy_time_ends_after_it_starts"),
    (
        "busy_times",
        {"start_time": "-infinity", "end_time": TEN},
        "busy_time_is_between_1900_and_9999",
    ),
    ("appointments", {"end_time": TEN - timedelta(minutes=30)}, "end_time_is_after_start_time"),
    ("appointments", {"buffer_before_minutes": -5}, "appointment_buffers_are_0_to_1440"),
    ("appointments", {"status": "tentative"}, "status_is_known"),
    ("appointments", {"price_cents": -1}, "appointment_price_cents_is_not_negative"),
    ("tenant_slugs", {"slug": "No Spaces"}, "slug_is_lower_case_letters_digits_and_dashes"),
]


def defaults(salon: Salon, table: str) -> dict[str, Any]:
    """A row of that table that would be taken."""
    person = {"staff_id": salon.person}
    place = {"location_id": salon.location}
    hours = {"weekday": 1, "start_time": "09:00", "end_time": "17:00"}
    columns: dict[str, dict[str, Any]] = {
        "working_hours": person | place | hours,
        "breaks": person | hours,
        "schedule_exceptions": person | {"first_date": date(2026, 5, 1)},
        "busy_times": person,
        "appointments": person
        | place
        | {
            "appointment_type_id": salon.cut,
            "start_time": TEN,
            "end_time": TEN + timedelta(minutes=30),
        },
    }
    tenant = {} if table == "tenants" else {"tenant_id": salon.tenant}
    return tenant | columns.get(table, {})


@pytest.mark.parametrize(
    ("table", "columns", "rule"), REFUSED, ids=[f"{table}-{rule}" for table, _, rule in REFUSED]
)
def test_it_is_refused(shared_salon: Salon, table: str, columns: dict[str, Any], rule: str) -> None:
    row = defaults(shared_salon, table) | columns
    with pytest.raises((errors.CheckViolation, errors.DataException)) as refused:
        if table == "tenant_slugs":
            shared_salon.db.execute(
                "insert into booking.tenant_slugs (tenant_id, slug)"
                " values (%(tenant_id)s, %(slug)s)",
                row,
            )
        else:
            insert(shared_salon.db, table, **row)
    assert rule in str(refused.value)
    assert shared_salon.differences() == []


SOURCE_TABLES = [
    *("tenants", "locations", "staff", "appointment_types", "slot_shapes"),
    *("staff_appointment_types", "working_hours", "breaks", "schedule_exceptions"),
    *("busy_times", "travel_times", "appointments", "slot_reservations"),
]


@pytest.mark.parametrize("table", SOURCE_TABLES)
def test_truncate_of_a_source_table_is_refused(shared_salon: Salon, table: str) -> None:
    with pytest.raises(errors.FeatureNotSupported, match=f"booking.{table} cannot be truncated"):
        shared_salon.db.execute(f"truncate booking.{table} cascade".encode())


@pytest.mark.parametrize("table", ["staff", "locations", "appointment_types", "working_hours"])
def test_a_row_never_changes_its_key(shared_salon: Salon, table: str) -> None:
    with pytest.raises(errors.IntegrityConstraintViolation, match="never change"):
        shared_salon.db.execute(f"update booking.{table} set id = gen_random_uuid()".encode())


def test_a_tenant_never_changes_its_id(shared_salon: Salon) -> None:
    with pytest.raises(errors.IntegrityConstraintViolation, match="never changes"):
        shared_salon.db.execute("update booking.tenants set id = gen_random_uuid()")


@pytest.mark.parametrize(
    "statement",
    ["update booking.slot_shapes set step_minutes = 5", "delete from booking.slot_shapes"],
)
def test_shapes_are_not_written_by_hand(shared_salon: Salon, statement: str) -> None:
    with pytest.raises(errors.FeatureNotSupported, match="slot_shapes follow appointment_types"):
        shared_salon.db.execute(statement.encode())


def test_a_calendar_that_is_nobodys_is_an_error(shared_salon: Salon) -> None:
    with pytest.raises(errors.ForeignKeyViolation, match="nobody's calendar"):
        shared_salon.db.execute(
            "select booking.lock_calendars(%s, array[gen_random_uuid()])", (shared_salon.tenant,)
        )


@pytest.mark.parametrize(
    "name", ["posixrules", "localtime", "posix/Europe/Berlin", "EUROPE/berlin"]
)
def test_a_zone_that_only_the_server_would_know_is_refused(shared_salon: Salon, name: str) -> None:
    with pytest.raises(errors.CheckViolation, match="timezone_is_an_iana_name"):
        shared_salon.db.execute("update booking.tenants set timezone = %s", (name,))
