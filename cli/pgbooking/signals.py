"""Ending when asked to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody asked to stop; once asked for, it stays so.

    Not a threading.Event: a signal is handled in the thread that waits, and where it comes just as
    wait() takes the event's lock, set() waits for that lock for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._until_set = threading.Lock()
        self._until_set.acquire()

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            self._until_set.release()

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Until asked to stop, or for so long; whether it was asked for."""
        if not self._until_set.acquire(timeout=seconds):
            return False
        self._until_set.release()
        return True


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """The first SIGINT or SIGTERM sets it, a second one acts as it always does."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()
