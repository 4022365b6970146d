"""Asking to stop works whatever the one that is asked is doing: a signal comes between any two of
its steps."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

import pytest

from pgbooking.signals import Stop

PATIENCE_SECONDS = 5.0


def waits_until_asked_at(step: int) -> bool:
    """Begins to wait, and is asked to stop, in the same thread, at that step of doing so; False
    where it has fewer steps."""
    stop = Stop()
    left = step

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            stop.set()
        return trace

    def wait() -> None:
        sys.settrace(trace)
        stop.wait(PATIENCE_SECONDS / 10)
        sys.settrace(None)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive(), f"asked to stop at step {step}, it waits for ever"
    assert stop.is_set() == (left <= 0)
    return left <= 0


def test_a_signal_at_any_step_of_waiting_is_heard() -> None:
    step = 1
    while waits_until_asked_at(step):
        step += 1
    assert step > 2


def test_asked_twice_it_is_asked() -> None:
    stop = Stop()
    assert not stop.is_set()
    assert not stop.wait(0)
    stop.set()
    stop.set()
    assert stop.is_set()
    assert stop.wait(0)
    assert stop.wait(0)


@pytest.mark.parametrize("waiting", [1, 3])
def test_everybody_who_waits_is_woken(waiting: int) -> None:
    stop = Stop()
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(stop.wait(PATIENCE_SECONDS)))
        for _ in range(waiting)
    ]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert answers == [True] * waiting
