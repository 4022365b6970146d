"""Whatever an adoption's map says: it is followed, or one sentence says why it cannot be, and
nothing was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg

from tests.adoption.conftest import make_legacy
from tests.fuzz.commands import Commands
from tests.fuzz.samples import CASES, Sample, try_all
from tests.salon import set_clock


def test_every_map_is_followed_or_refused_with_a_sentence(
    db: psycopg.Connection[Any], commands: Commands, tmp_path: Path
) -> None:
    set_clock(db)
    make_legacy(db)
    path = tmp_path / "input.toml"
    before = commands.state()

    def judge(sample: Sample) -> tuple[str, str | None]:
        path.write_bytes(sample.content)
        with db.transaction(force_rollback=True):
            shown = commands.run("adopt", "--map", path)
            if fault := shown.fault(["input.toml", "["]):
                return "fault", fault
            if commands.is_broken or commands.state() != before:
                return "fault", f"showing it wrote something: {shown.err}"
            applied = commands.run("adopt", "--map", path, "--apply", "--json")
            if fault := applied.fault(["input.toml", "["]):
                return "fault", f"applied: {fault}"
            if commands.is_broken:
                return "fault", f"a statement outside of transactions failed: {applied.err}"
            if applied.err:
                changed = commands.state() != before
                return "problem", f"wrote and said {applied.err}" if changed else None
            if shown.code != 0:
                return "fault", f"cannot be shown and can be applied: {shown.err}"
            report = json.loads(applied.out)
            is_complete = not (report["failed"] or report["not_booked"] or report["failing"])
            if is_complete != (applied.code == 0):
                return "fault", f"exit code {applied.code}: {applied.out}"
            return ("followed" if is_complete else "followed in part"), None

    try_all("map", judge, CASES // 8, {"followed", "problem"})
