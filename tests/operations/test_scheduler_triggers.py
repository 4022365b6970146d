"""When the scheduler starts a job: cron's own reading of a schedule, and what was missed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgbooking import scheduler
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.jobs import Job
from pgbooking.scheduler import Log, Service, next_due, trigger_of

SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)

JOB = Job(
    name="tea",
    description="",
    schedule="17 3 * * *",
    command="select 0",
    is_enabled=True,
    last_started_at=None,
    last_finished_at=None,
    last_rows=None,
    last_error=None,
    is_running=False,
    is_late=True,
)


def starts(schedule: str, since: datetime = SUNDAY, days: float = 7) -> list[datetime]:
    """When a job of that schedule begins in the days from then on."""
    trigger, found = trigger_of(schedule), []
    last, until = None, since + timedelta(days=days)
    while (following := trigger.get_next_fire_time(last, last or since)) < until:
        found.append(following)
        last = following
    return found


@pytest.mark.parametrize(
    ("weekdays", "expected"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("sun", "Sun"),
        ("1", "Mon"),
        ("6", "Sat"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("MON-FRI", "Mon Tue Wed Thu Fri"),
        ("5-7", "Sun Fri Sat"),
        ("sun-tue", "Sun Mon Tue"),
        ("0,3", "Sun Wed"),
        ("1-5/2", "Mon Wed Fri"),
        ("*/2", "Sun Tue Thu Sat"),
        ("*", "Sun Mon Tue Wed Thu Fri Sat"),
    ],
)
def test_weekdays_are_counted_as_cron_does_from_sunday(weekdays: str, expected: str) -> None:
    found = starts(f"30 4 * * {weekdays}")
    assert " ".join(f"{each:%a}" for each in found) == expected
    assert {(each.hour, each.minute, each.utcoffset()) for each in found} == {(4, 30, timedelta(0))}


@pytest.mark.parametrize(
    ("schedule", "number", "first"),
    [
        ("* * * * *", 7 * 1440, "01 00:00"),
        ("*/5 * * * *", 7 * 288, "01 00:00"),
        ("7 * * * *", 7 * 24, "01 00:07"),
        ("17 3 * * *", 7, "01 03:17"),
        ("0,30 8-9 2 mar *", 4, "02 08:00"),
        ("0 0 1 4 *", 0, ""),
    ],
)
def test_schedules_are_read_as_cron_does_in_utc(schedule: str, number: int, first: str) -> None:
    found = starts(schedule)
    assert len(found) == number
    assert not first or f"{found[0]:%d %H:%M}" == first


def test_a_day_of_the_month_and_a_weekday_mean_either_as_in_cron() -> None:
    found = starts("0 0 13 * 5", days=31)
    assert [each.day for each in found] == [6, 13, 20, 27]
    found = starts("0 0 10 * 5", days=31)
    assert [each.day for each in found] == [6, 10, 13, 20, 27]


def test_the_hour_that_a_zone_skips_or_repeats_is_an_hour_like_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    for day in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
        assert len(starts("7 * * * *", day, 1)) == 24


@pytest.mark.parametrize(
    "schedule",
    ["", "* * * *", "* * * * * *", "at tea", "61 * * * *", "* * * * 8", "* * * * 5-2", "@daily",
     "30 seconds", "* * * * mon-", "* * * * */x"],
)  # fmt: skip
def test_what_is_no_cron_expression_is_a_value_error(schedule: str) -> None:
    with pytest.raises(ValueError):
        trigger_of(schedule)


def test_a_job_that_never_ran_is_due_at_once() -> None:
    assert next_due(trigger_of(JOB.schedule), JOB) is None


def test_a_run_that_was_missed_is_due_since_then() -> None:
    ran = ended(JOB, SUNDAY + timedelta(hours=4))
    assert next_due(trigger_of(JOB.schedule), ran) == SUNDAY + timedelta(
        days=1, hours=3, minutes=17
    )


def test_a_run_that_was_cut_off_is_due_at_once_one_that_is_under_way_is_not() -> None:
    began = replace(JOB, last_started_at=SUNDAY)
    assert next_due(trigger_of(JOB.schedule), began) is None
    under_way = replace(began, is_running=True)
    assert next_due(trigger_of(JOB.schedule), under_way) == SUNDAY + timedelta(hours=3, minutes=17)


def ended(job: Job, at: datetime) -> Job:
    """Its last run began then, and took a second."""
    return replace(job, last_started_at=at, last_finished_at=at + timedelta(seconds=1))


@pytest.fixture
def service() -> Iterator[Service]:
    """One that has nothing to connect to, and leads nobody."""
    made = Service(None, Log(as_json=False))
    yield made
    made.stop(0)


def planned(service: Service) -> dict[str, Any]:
    """Job → when it begins next."""
    return {each.id: each.next_run_time for each in service.timer.get_jobs()}


def test_it_follows_what_is_listed(service: Service) -> None:
    now = datetime.now(UTC)
    hour_ago = now - timedelta(hours=1)
    hourly = replace(ended(JOB, now), name="hourly", schedule="7 * * * *")
    missed = replace(ended(JOB, hour_ago), name="missed", schedule="* * * * *")
    service.follow([JOB, hourly, missed])
    plan = planned(service)
    assert plan["hourly"] == starts("7 * * * *", now, 1)[0]
    assert now <= plan["missed"] <= datetime.now(UTC)
    assert now <= plan["tea"] <= datetime.now(UTC)

    # Nothing new: what it has planned stays as it is.
    service.follow([JOB, hourly, missed])
    assert planned(service) == plan

    rescheduled = replace(hourly, schedule="8 * * * *")
    service.follow([replace(JOB, is_enabled=False), rescheduled])
    assert planned(service) == {"hourly": starts("8 * * * *", now, 1)[0]}
    service.follow([JOB])
    assert set(planned(service)) == {"tea"}


def test_a_schedule_that_is_none_is_said_once_and_plans_nothing(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        service.follow([replace(JOB, schedule="at tea")])
    assert planned(service) == {}
    assert capfd.readouterr().err.count("tea has no cron expression") == 1
    service.follow([JOB])
    assert set(planned(service)) == {"tea"}


def test_without_apscheduler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apscheduler.schedulers.background", None)
    with pytest.raises(Problem, match="APScheduler is not installed") as problem:
        scheduler.run("", grace_seconds=0)
    assert problem.value.exit_code == EXIT_USAGE
    assert problem.value.hint == "pip install 'pgbooking[scheduler]'"
