"""pgbooking explain: why a person can or cannot be booked, in words, with the rows that decided."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from tests.cli.conftest import SALON_NOW, Answer, Run
from tests.salon import TEN, Salon, set_clock

NOW = ("--now", SALON_NOW)


@pytest.fixture
def explain(run: Run, salon: Salon) -> Run:
    """Runs the command for Ada, on a Tuesday at ten unless it is told otherwise."""

    def run_explain(*arguments: object, at: str = "2026-03-03T10:00+01:00") -> Answer:
        return run(
            "explain", "--tenant", salon.tenant, "--staff", "Ada", "--at", at, *NOW, *arguments
        )

    return run_explain


def test_a_free_time_passes_every_rule(explain: Run, salon: Salon) -> None:
    hours = row_of_tuesday(salon)
    answer = explain("--type", "cut")
    assert answer.code == 0
    assert answer.out == (
        "Ada, Mitte, Tue 3 Mar 2026, 10:00 (Europe/Berlin), cut: can be booked\n"
        "  ✓ active        Ada offers Cut.\n"
        "  ✓ working time  Ada works at Mitte: Tue 3 Mar 2026, 09:00 to 17:00.\n"
        f"                  working_hours {hours}\n"
        "  ✓ starts        Starts are 15 min apart, counted from each beginning of working time."
        " This is one.\n"
        "  ✓ fit           It ends Tue 3 Mar 2026, 10:30, in working time.\n"
        "  ✓ free          Nothing else, buffers included: Tue 3 Mar 2026, 10:00 to 10:30.\n"
        "  ✓ day limit     Ada has no limit of appointments a day.\n"
        "  ✓ compact       Ada does not keep a compact schedule.\n"
        "  ✓ bookable      It can be booked before Tue 3 Mar 2026, 10:00.\n"
        "  ✓ not held      Nobody is booking it right now.\n"
        "  00    03    06    09    12    15    18    21\n"
        "  ··················████████████████··············\n"
        "                      ▲\n"
        "  █ can be booked  ▒ cannot  · no working time\n"
        "\n"
    )


def test_what_stands_in_the_way_is_crossed_and_named(explain: Run, salon: Salon) -> None:
    appointment = salon.appointment(minutes=45)
    lines = explain("--type", "cut").out.splitlines()
    assert lines[0].endswith("cut: cannot be booked")
    number = next(n for n, line in enumerate(lines) if line.startswith("  ✗"))
    assert lines[number : number + 2] == [
        "  ✗ free          Another appointment, buffers included: Tue 3 Mar 2026, 10:00 to 10:45.",
        f"                  appointments {appointment}",
    ]
    assert [line for line in lines if line.startswith("  ✗")] == [lines[number]]
    # 10:00 to 10:45 is taken; a cut can begin at 10:45.
    assert "  ··················██▒█████████████··············" in lines


def test_what_is_not_asked_has_a_dash(explain: Run) -> None:
    answer = explain("--type", "cut", at="2026-03-03T20:00+01:00")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert (
        "  ✗ working time  Ada does not work at Mitte then. "
        "Working time that day: 09:00 to 17:00." in lines
    )
    assert "  - starts        Not asked, because of another rule." in lines
    assert "  - fit           Not asked, because it is no working time." in lines


def test_every_kind_of_slot_is_explained_unless_one_is_named(explain: Run) -> None:
    answer = explain("--json")
    assert answer.code == 0
    assert [each["appointment_types"] for each in answer.json["candidates"]] == [
        ["course"],
        ["cut"],
    ]
    (only,) = explain("--json", "--type", "course").json["candidates"]
    assert only["appointment_types"] == ["course"]
    assert [rule["rule"] for rule in only["rules"]] == [
        "active",
        "working_time",
        "starts",
        "fit",
        "free",
        "day_limit",
        "compact",
        "bookable",
        "not_held",
    ]


def test_one_kind_that_can_be_booked_is_enough(explain: Run, salon: Salon) -> None:
    """At 16:30 a cut fits, and a course does not."""
    at = "2026-03-03T16:30+01:00"
    assert [each["is_available"] for each in explain("--json", at=at).json["candidates"]] == [
        False,
        True,
    ]
    assert explain(at=at).code == 0
    assert explain("--type", "course", at=at).code == 1


def test_a_time_without_an_offset_is_utc(explain: Run) -> None:
    assert explain("--json", at="2026-03-03T09:00").json["at"] == "2026-03-03T09:00:00Z"


def test_the_clock_can_be_set(run: Run, salon: Salon) -> None:
    arguments = ("explain", "--tenant", salon.tenant, "--staff", "Ada", "--type", "cut")
    at = ("--at", "2026-03-03T10:00+01:00")
    late = run(*arguments, *at, "--now", "2026-03-03T10:00+01:00")
    assert late.code == 1
    assert "✗ bookable      Too late: it had to be booked before Tue 3 Mar 2026, 10:00." in late.out


def test_long_evidence_is_cut_short_but_for_programs(explain: Run, salon: Salon) -> None:
    for minute in range(7):
        start = TEN + timedelta(minutes=minute)
        salon.insert(
            "busy_times", staff_id=salon.person, start_time=start, end_time=start + timedelta(1)
        )
    answer = explain("--type", "cut")
    assert answer.out.count("busy_times ") == 5
    assert "… and 2 more: --json" in answer.out
    (candidate,) = explain("--json", "--type", "cut").json["candidates"]
    assert len(next(x for x in candidate["rules"] if x["rule"] == "free")["evidence"]) == 7


def test_a_day_on_which_clocks_change_has_the_half_hours_it_has(explain: Run, salon: Salon) -> None:
    salon.db.execute("update booking.tenants set booking_horizon_days = 60")
    set_clock(salon.db)
    out = explain("--type", "cut", at="2026-03-29T10:00+02:00").out
    assert "  00  03    06    09    12    15    18    21\n" in out
    assert f"  {'·' * 16}{'█' * 16}{'·' * 14}\n" in out
    assert f"  {' ' * 18}▲\n" in out


def test_a_calendar_in_the_queue_is_said_to_be_stale(explain: Run, salon: Salon) -> None:
    salon.db.execute(
        "insert into booking.refresh_queue (tenant_id, staff_id, reason) values (%s, %s, 'test')",
        (salon.tenant, salon.person),
    )
    assert "The calendar waits to be published anew" in explain().out


def test_somebody_without_hours_has_nothing_to_explain(run: Run, salon: Salon) -> None:
    salon.insert("staff", display_name="Cem [sic]")
    answer = run(
        "explain", "--tenant", salon.tenant, "--staff", "Cem [sic]", "--at", "2026-03-03", *NOW
    )
    assert answer.code == 1
    assert answer.out == "Cem [sic] has no working hours at any place, or offers nothing.\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--tenant", "nobody"), "There is no tenant 'nobody'."),
        (("--staff", "Zoe"), "Salon has no staff member 'Zoe'."),
        (("--staff", str(uuid4())), "Salon has no staff member"),
        (("--at", "soon"), "'soon' is not a time like 2018-04-01T08:00"),
        (
            ("--at", "1066-10-14T09:00"),
            "expected a time in the years 1900 to 9999.",
        ),
        (
            ("--type", "perm"),
            'Error: appointment_type is "perm"; expected the code of one of this tenant\'s '
            "services.",
        ),
    ],
)
def test_bad_input_is_one_sentence(explain: Run, options: tuple[str, ...], sentence: str) -> None:
    answer = explain(*options)
    assert answer.code == 2
    assert answer.out == ""
    assert sentence in answer.err


def row_of_tuesday(salon: Salon) -> UUID:
    row = salon.db.execute("select id from booking.working_hours where weekday = 2").fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)
    return row[0]
