"""deploy/pgbooking-scheduler.service: systemd takes it, and it fits the command that it starts."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pgbooking import app
from pgbooking.scheduler import CANCEL_SECONDS
from tests.left_out import NO_SYSTEMD

UNIT = Path(__file__).parents[2] / "deploy" / "pgbooking-scheduler.service"


def setting(name: str) -> str:
    """The value of a line of the unit."""
    found = re.search(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found, name
    return found[1]


def test_the_command_that_it_starts_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(setting("ExecStart"))
    assert Path(program).name == "pgbooking"
    with pytest.raises(SystemExit) as stop:
        app.main([*arguments, "--help"])
    assert stop.value.code == 0, capsys.readouterr()


def test_systemd_waits_until_cancelled_runs_have_ended() -> None:
    *_, grace = shlex.split(setting("ExecStart"))
    assert float(setting("TimeoutStopSec")) > float(grace) + CANCEL_SECONDS


def test_systemd_takes_it(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip(NO_SYSTEMD)
    # It looks for the program, too.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/pgbooking/bin/pgbooking", "/bin/true"))
    checked = subprocess.run([program, "verify", unit], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
