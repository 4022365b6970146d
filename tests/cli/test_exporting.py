"""pgbooking export: a calendar that others accept, and that tells no more than it is asked to."""

from __future__ import annotations

import json
from pathlib import Path

import icalendar

from tests.cli.conftest import SALON_NOW, Run
from tests.salon import TEN, Salon

ADA = {"name": "Ada Byron", "email": "ada@example.org", "phone": "+49 30 1"}


def test_live_appointments_are_written_without_a_word_of_the_customer(
    run: Run, salon: Salon, tmp_path: Path
) -> None:
    notes = "allergic\r\nEND:VCALENDAR\x07"
    appointment = salon.appointment(customer=json.dumps(ADA), notes=notes)
    pending = salon.appointment(TEN.replace(day=4), status="pending")
    salon.appointment(TEN.replace(day=5), status="cancelled")
    salon.appointment(TEN.replace(day=1))
    salon.appointment(TEN.replace(day=13))  # after the horizon
    salon.insert(
        "busy_times", staff_id=salon.person, start_time=TEN, end_time="2026-03-03 11:00+01"
    )
    command = ("export", "--tenant", salon.tenant, "--staff", "Ada", "--now", SALON_NOW)
    answer = run(*command)
    assert answer.code == 0
    assert "allergic" not in answer.out
    assert "Byron" not in answer.out
    (event, other) = icalendar.Calendar.from_ical(answer.out).walk("VEVENT")
    assert event.to_ical().decode().splitlines() == [
        "BEGIN:VEVENT",
        "SUMMARY:Cut",
        "DTSTART:20260303T090000Z",
        "DTEND:20260303T093000Z",
        "DTSTAMP:20260302T060000Z",
        f"UID:{appointment}@pgbooking",
        "CREATED:20260302T060000Z",
        "LAST-MODIFIED:20260302T060000Z",
        "LOCATION:Mitte",
        "STATUS:CONFIRMED",
        "END:VEVENT",
    ]
    assert (other["UID"], other["STATUS"]) == (f"{pending}@pgbooking", "TENTATIVE")
    whole = run(*command, "--with-customers", "--busy-times", "--from", "2026-03-03").out
    first, _, third = icalendar.Calendar.from_ical(whole).walk("VEVENT")
    assert first["DESCRIPTION"] == ("Ada Byron\nada@example.org\n+49 30 1\nallergic\nEND:VCALENDAR")
    assert third["SUMMARY"] == "Busy"

    # To a file: the same, as a whole, with the rights that the file had.
    file = tmp_path / "ada.ics"
    assert run(*command, "--to", "2026-03-03", file).code == 0
    file.chmod(0o640)
    before = file.read_bytes()
    assert b"-04T" not in before
    assert run(*command, "--to", "2026-03-03", file).code == 0
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (before, 0o640)
    assert [path.name for path in tmp_path.iterdir()] == ["ada.ics"]


def test_a_file_that_cannot_be_written_stays_as_it_was(
    module_run: Run, shared_salon: Salon, tmp_path: Path
) -> None:
    command = ("export", "--tenant", shared_salon.tenant, "--staff", "Ada")
    for arguments, code in (
        ((tmp_path / "none" / "x.ics",), 1),
        (("--from", "2026-03-09", "--to", "2026-03-08", tmp_path / "x.ics"), 2),
        (("/dev/null",), 0),
    ):
        answer = module_run(*command, *arguments, "--now", SALON_NOW)
        assert (answer.code, answer.err.count("Error:")) == (code, int(code > 0))
    assert [*tmp_path.iterdir()] == []
    assert not Path("/dev/null").is_file()
