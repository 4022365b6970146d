"""What the importers' tests have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fuzz.commands import Commands, Outcome
from tests.fuzz.samples import Judge, Sample
from tests.salon import Salon

# What a report of an import says was done.
DONE = ("loaded", "changed", "removed", "created")


@pytest.fixture
def commands(db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Runs commands in this test's database."""
    return Commands(db, monkeypatch)


@pytest.fixture
def import_judge(
    salon: Salon, commands: Commands, tmp_path: Path
) -> Callable[[Callable[[Sample, Path], list[object]]], Judge]:
    """Judges imports, of which `arguments` says how they are called."""

    def judge_by(arguments: Callable[[Sample, Path], list[object]]) -> Judge:
        before = commands.state()
        number = 0

        def judge(sample: Sample) -> tuple[str, str | None]:
            nonlocal number
            number += 1
            for name, content in sample.files().items():
                (tmp_path / f"input{name[name.rindex('.') :]}").write_bytes(content)
            call = ["import", sample.kind, *arguments(sample, tmp_path)]
            with salon.db.transaction(force_rollback=True):
                return _judged(commands, call, tmp_path, before, compare=number % 10 == 0)

        return judge

    return judge_by


def _judged(
    commands: Commands, call: list[object], folder: Path, before: dict[str, Any], *, compare: bool
) -> tuple[str, str | None]:
    names = ["input.", "mapping", "--location", "--staff", "tenant"]
    first = commands.run(*call, "--json")
    fault = first.fault(names)
    if fault or commands.is_broken:
        return "fault", fault or f"a statement outside of transactions failed: {first.err}"
    after = commands.state()
    if first.err:
        changed = [name for name in before | after if before.get(name) != after.get(name)]
        return "problem", f"wrote {changed} and said {first.err}" if changed else None
    report = json.loads(first.out)
    if fault := bad_report(first, report, folder):
        return "fault", fault
    if compare and (differences := commands.differences()):
        return "fault", f"published is not what is calculated: {differences[:5]}"
    second = commands.run(*call, "--rejects", folder / "rejects.csv")
    if fault := second.fault(names):
        return "fault", f"the second time: {fault}"
    if "takes too long" in first.out + second.out:
        return "some rejected", None  # by the processor's clock, which is not the same each time
    if second.code != first.code or (again := commands.state()) != after:
        changed = [name for name in after if after[name] != again[name]]
        return "fault", f"the second time changed {changed}, exit code {second.code}: {second.out}"
    return ("some rejected" if report["rejected"] else "all loaded"), None


def bad_report(first: Outcome, report: dict[str, Any], folder: Path) -> str | None:
    """What is wrong with the report, or None."""
    if (first.code == 1) != bool(report["rejected"]):
        return f"exit code {first.code} with {len(report['rejected'])} rejected"
    if report["rows"] != sum(
        (report["loaded"], report["changed"], report["already_there"], len(report["rejected"]))
    ):
        return f"the numbers do not add up: {first.out[:500]}"
    (file,) = (each for each in folder.glob("input.*") if each.suffix != ".toml")
    last = len(file.read_bytes().replace(b"\r", b"\n").split(b"\n"))
    for each in (*report["rejected"], *report["notes"]):
        text = each.get("reason") or each.get("text")
        if not 1 <= each["line"] <= last:
            return f"a line that is not there: {each}"
        if not text:
            return f"no reason: {each}"
    return None
