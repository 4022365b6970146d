"""Whatever an iCalendar file holds: what it says of the window is what the database has, the rest
is told, and the second run changes nothing; or one sentence says why, and nothing was changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.samples import CASES, Judge, Sample, try_all
from tests.salon import Salon

JudgeBy = Callable[[Callable[[Sample, Path], list[object]]], Judge]


def test_every_calendar_is_loaded_or_refused_with_a_sentence(
    salon: Salon, import_judge: JudgeBy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgbooking.calendar_events.RULE_SECONDS", 0.2)
    monkeypatch.setattr("pgbooking.calendar_events.ALL_RULES_SECONDS", 2.0)

    def arguments(sample: Sample, folder: Path) -> list[object]:
        window = ["--from", "2026-03-01", "--until", "2026-04-10"]
        staff = ["--staff", "Ada"] if sample.kind == "busy-times" else []
        return [folder / "input.ics", *staff, "--tenant", salon.tenant, *window]

    try_all(
        "icalendar", import_judge(arguments), CASES // 4, {"all loaded", "some rejected", "problem"}
    )
