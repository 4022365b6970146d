"""Events tail: hands the outbox to whatever sends mails or calls webhooks, as lines of JSON.

A batch is printed, flushed, marked as processed and committed, in this order and one transaction.
Whoever is killed before the commit leaves the batch to the next run, which prints it again: each
event is printed at least once. Consumers at work together skip each other's batches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from pgbooking.errors import Problem
from pgbooking.rows import execute, fetch
from pgbooking.signals import stop_on_signals
from pgbooking.tenants import chosen_tenants


@dataclass(frozen=True)
class _Event:
    tenant_id: UUID
    id: UUID
    line: str


@dataclass(frozen=True)
class _PeekedEvent(_Event):
    created_at: datetime


def tail(
    connection: psycopg.Connection,
    tenant: str | None = None,
    *,
    limit: int,
    poll_seconds: float | None = None,
) -> bool:
    """Print unprocessed events, oldest first, `limit` a batch, and mark them as processed.

    Ends when none is left, or with `poll_seconds` looks again after so long, until SIGINT or
    SIGTERM comes. Returns whether one of them came. Raises Problem where there is no such tenant,
    and where nobody reads the output any more.
    """
    tenant_id = _tenant_id(connection, tenant)
    with stop_on_signals() as stop:
        while not stop.is_set():
            if _hand_over(connection, tenant_id, limit):
                continue
            if poll_seconds is None:
                break
            stop.wait(poll_seconds)
    return stop.is_set()


def peek(connection: psycopg.Connection, tenant: str | None = None, *, limit: int) -> None:
    """Print the same events and leave them as they are, reading `limit` at a time."""
    parameters = {"limit": limit, "tenant_id": _tenant_id(connection, tenant)}
    last: _PeekedEvent | None = None
    while events := fetch(
        connection,
        "events_peek",
        _PeekedEvent,
        after_created_at=last and last.created_at,
        after_id=last and last.id,
        **parameters,
    ):
        _print(events)
        last = events[-1]


def _hand_over(connection: psycopg.Connection, tenant_id: UUID | None, limit: int) -> int:
    """One batch, one transaction; returns how many events."""
    with connection.transaction():
        events = fetch(connection, "events_take", _Event, limit=limit, tenant_id=tenant_id)
        if events:
            _print(events)
            execute(
                connection,
                "events_finish",
                tenant_ids=[event.tenant_id for event in events],
                ids=[event.id for event in events],
            )
    return len(events)


def _tenant_id(connection: psycopg.Connection, named: str | None) -> UUID | None:
    return chosen_tenants(connection, named)[0].id if named is not None else None


def _print(events: Sequence[_Event]) -> None:
    """JSON is UTF-8, whatever the locale says of stdout."""
    try:
        for event in events:
            sys.stdout.buffer.write(event.line.encode() + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Python flushes once more at exit, and must not stumble over the same pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Problem(
            "Nobody reads the events any more.",
            "The last batch was not marked: the next run prints it again.",
        ) from None
