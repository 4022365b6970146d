"""Verify again and again: at the times of a cron expression, in the foreground, until stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from pgbooking.errors import EXIT_USAGE, Problem, explain
from pgbooking.scheduler import Log, trigger_of, without_apscheduler
from pgbooking.signals import Stop, stop_on_signals
from pgbooking.verify_run import Outcome

# A clock that is set, or a machine that slept, is noticed after so long.
LONGEST_WAIT_SECONDS = 30.0


def run(schedule: str, verify_once: Callable[[], Outcome], *, as_json: bool = False) -> None:
    """Verify now, and whenever `schedule`, a cron expression in UTC, says so.

    SIGINT or SIGTERM ends it between two runs. A run that fails, say because the server is away,
    says so and the next comes at its time. Raises Problem where the schedule is none, and where the
    first run shows that the command cannot work as it was typed.
    """
    trigger = _trigger(schedule)
    log = Log(as_json)
    with stop_on_signals() as stop:
        is_first = True
        due = datetime.now(UTC)
        while not stop.is_set():
            try:
                outcome = verify_once()
            except (Problem, psycopg.Error) as error:
                reason = explain(error)
                if is_first and reason.exit_code == EXIT_USAGE:
                    raise
                log("failed", f"{reason.message} Trying again when it is time.")
            else:
                log("clean" if outcome.is_clean else "differences", outcome.summary)
            is_first = False
            due = next_after(trigger, due)
            wait_until(due, stop)
    log("stop", "stopped")


def next_after(trigger: Any, last: datetime) -> datetime:
    """The next time to run, after now and after the last one."""
    later = max(datetime.now(UTC), last + timedelta(microseconds=1))
    due: datetime | None = trigger.get_next_fire_time(None, later)
    if due is None:
        raise Problem("The schedule has no more times.", None, EXIT_USAGE)
    return due


def wait_until(due: datetime, stop: Stop) -> None:
    """Until then, or until asked to stop."""
    while (left := (due - datetime.now(UTC)).total_seconds()) > 0:
        if stop.wait(min(left, LONGEST_WAIT_SECONDS)):
            return


def _trigger(schedule: str) -> Any:
    try:
        return trigger_of(schedule)
    except ImportError:
        raise without_apscheduler() from None
    except ValueError as error:
        raise Problem(
            f"{schedule!r} is no cron expression: {error}.",
            "Minute, hour, day, month, weekday, in UTC: '0 */2 * * *' is every two hours.",
            EXIT_USAGE,
        ) from None
