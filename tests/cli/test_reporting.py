"""pgbooking report: the same figures in each of its forms, and nothing in them that should not be.

Ada and a person with a hostile name work from Monday, 2 March 2026, 09:00 to 17:00 in Berlin. It is
Thursday when the report is made.
"""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import isnan, nan
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from pgbooking import report_output, report_page, report_plots, report_terminal
from pgbooking.report import (
    Cancellations,
    Demand,
    Fate,
    Funnel,
    Heatmap,
    Peaks,
    Person,
    PersonWeek,
    Report,
    Section,
    Starts,
    Step,
    Utilisation,
)
from pgbooking.tenants import Tenant
from tests.api import ANON, Api, customer
from tests.booking.booked import slot_at
from tests.cli.conftest import Run
from tests.postgres import Server
from tests.salon import Salon, make_salon, set_clock

NOW = ("--now", "2026-03-05T13:30+01:00")
HOSTILE = '<script>alert("1")</script> $x^2'
SECRETS = ("Eva Geheim", "eva@example.com", "allergic")
TUESDAY = datetime.fromisoformat("2026-03-03T00:00+01:00")
ABOUT = ("tenant", "time_zone", "from", "to", "made_at")


@pytest.fixture(scope="module")
def counted(shared_salon: Salon) -> Salon:
    """A salon in which people searched, held, booked, cancelled and stayed away; and another."""
    salon = shared_salon
    salon.db.execute("update booking.settings set search_sample = 1")
    salon.add_person(HOSTILE)
    eva, api = customer(uuid4()), Api(salon.db)
    booked = []
    for hour in (10, 11):
        set_clock(salon.db, f"2026-03-02 0{hour - 3}:05+01")
        listed = api.call(
            "get_available_slots",
            tenant_id=salon.tenant,
            start_date=TUESDAY.date(),
            end_date=TUESDAY.date(),
            appointment_type="cut",
        )
        assert listed.success
        slot = slot_at(salon, TUESDAY + timedelta(hours=hour))
        held: dict[str, Any] = {
            "slot_id": slot,
            "session_id": f"{hour}".ljust(16),
            "appointment_type": "cut",
        }
        assert api.call("reserve_slot", ANON, **held).success
        refused = api.call("reserve_slot", ANON, **(held | {"session_id": "other".ljust(16)}))
        assert refused.code == "slot_taken"
        set_clock(salon.db, f"2026-03-02 0{hour - 3}:07+01")
        answer = api.call(
            "create_appointment",
            eva,
            **held,
            user_data={"name": SECRETS[0], "email": SECRETS[1]},
            notes=SECRETS[2],
        )
        assert answer.success, answer
        booked.append(answer.body["appointment_id"])
    assert api.call("cancel_appointment", eva, appointment_id=booked[1], reason=SECRETS[2]).success
    missed = salon.appointment(
        TUESDAY + timedelta(hours=12), customer=json.dumps({"name": SECRETS[0]}), notes=SECRETS[2]
    )
    another = make_salon(salon.db)
    slot = slot_at(another, TUESDAY + timedelta(hours=10))
    for _ in range(2):
        api.call(
            "get_available_slots",
            tenant_id=another.tenant,
            start_date=TUESDAY.date(),
            end_date=TUESDAY.date(),
        )
        api.call("reserve_slot", slot_id=slot, session_id=uuid4().hex)
    another.appointment(TUESDAY + timedelta(hours=12), status="cancelled")
    another.appointment(TUESDAY + timedelta(hours=12))
    set_clock(salon.db, "2026-03-05 13:30+01")
    salon.db.execute("update booking.appointments set status = 'no_show' where id = %s", (missed,))
    return salon


def rows_of(content: bytes) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(content.decode(), newline=""))]


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height, in dots."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def as_cell(value: object) -> str:
    return "" if value is None else str(value)


def test_csv_json_page_and_pictures_are_of_the_same_figures(
    module_run: Run, counted: Salon, tmp_path: Path
) -> None:
    arguments = ("--tenant", counted.tenant, "--from", "2026-03-02", "--to", "2026-03-05", *NOW)
    told = module_run("report", *arguments, "--json").json
    assert (told["tenant"]["name"], told["time_zone"]) == ("Salon", "Europe/Berlin")
    assert (told["first_date"], told["last_date"]) == ("2026-03-02", "2026-03-05")
    assert told["made_at"] == "2026-03-05T12:30:00+00:00"
    assert [*told["sections"]] == [*Section]

    page = tmp_path / "report.html"
    answer = module_run(
        "report", *arguments, "--csv", tmp_path / "c", "--png", tmp_path / "p", "--html", page
    )
    assert answer.code == 0, answer.err
    assert answer.out.count("wrote ") == 11
    for section in Section:
        png = (tmp_path / "p" / f"{section}.png").read_bytes()
        width, height = size_of(png)
        assert (width, height > 300, len(png) > 5000) == (1500, True, True)
    for name, rows in {
        "utilisation": told["sections"]["utilisation"]["weeks"],
        "funnel": [
            told["sections"]["funnel"]["all"],
            *told["sections"]["funnel"]["by_appointment_type"],
            *told["sections"]["funnel"]["by_staff"],
            *told["sections"]["funnel"]["refusals"],
        ],
        "heatmap": told["sections"]["heatmap"]["cells"],
        "peaks": told["sections"]["peaks"]["cells"],
        "cancellations": [
            told["sections"]["cancellations"]["all"],
            *told["sections"]["cancellations"]["periods"],
        ],
    }.items():
        written = rows_of((tmp_path / "c" / f"{name}.csv").read_bytes())
        assert {tuple(row.pop(column) for column in ABOUT) for row in written} == {
            ("Salon", "Europe/Berlin", "2026-03-02", "2026-03-05", told["made_at"])
        }
        assert written == [{key: as_cell(each) for key, each in row.items()} for row in rows]
    assert "Salon, 2026-03-02 to 2026-03-05 (Europe/Berlin), made on 2026-03-05 13:30" in (
        page.read_text()
    )


def test_the_figures_are_those_of_the_views(module_run: Run, counted: Salon) -> None:
    command = ("report", "--tenant", counted.tenant, "--from", "2026-03-02", *NOW, "--json")
    sections = module_run(*command).json["sections"]
    with counted.db.transaction():
        counted.db.execute(
            """select set_config('request.jwt.claims', '{"role": "service_role"}', true)"""
        )
        starts = counted.db.execute(
            "select weekday, hour, sum(offered), sum(held), sum(booked) from api.popular_slots"
            " where tenant_id = %s and date between '2026-03-02' and '2026-03-05'"
            " group by weekday, hour",
            (counted.tenant,),
        ).fetchall()
    expected = {(day, hour): (int(o), int(h), int(b)) for day, hour, o, h, b in starts}
    cells = sections["heatmap"]["cells"]
    assert len(cells) == 7 * 8
    for cell in cells:
        figures = (cell["offered"], cell["held"], cell["booked"])
        assert figures == expected.get((cell["weekday"], cell["hour"]), (0, 0, 0))
    assert sum(each["booked"] for each in cells) > 0

    everything = sections["funnel"]["all"]
    assert [everything[name] for name in ("searches", "holds", "bookings", "kept")] == [2, 2, 2, 1]
    assert (everything["seconds_to_book"], everything["kept_percent"]) == (120, 50)
    assert [(each["name"], each["refusals"]) for each in sections["funnel"]["refusals"]] == [
        ("slot_taken", 2)
    ]
    asked = [each for each in sections["peaks"]["cells"] if each["searches"]]
    assert [(each["weekday"], each["hour"], each["refused_holds"]) for each in asked] == [
        (1, 7, 1),
        (1, 8, 1),
    ]
    fate = sections["cancellations"]["all"]
    names = ("appointments", "cancelled", "no_shows", "cancelled_late")
    assert [fate[name] for name in names] == [3, 1, 1, 0]
    assert sections["utilisation"]["first_date"] == "2026-03-02"
    ada = next(each for each in sections["utilisation"]["people"] if each["staff"] == "Ada")
    assert ada["booked_minutes"] == 60
    assert ada["working_minutes"] == ada["free_minutes"] + 60
    assert len(sections["utilisation"]["people"]) == 2


def test_pictures_draw_the_figures_of_the_csv() -> None:
    report = made()

    def axes(section: Section) -> list[Any]:
        return [*report_plots.figure(report, section).axes]

    def column(section: Section, name: str) -> list[float]:
        """A gap is not a number."""
        rows = rows_of(report_output.as_csv(report, section))
        return [float(row[name] or "nan") for row in rows]

    def shades(drawn: Any) -> list[float]:
        (image,) = drawn.images
        return [*image.get_array().filled(nan).ravel()]

    starts = column(Section.HEATMAP, "booked_percent")
    assert 0 < sum(map(isnan, starts)) < len(starts)
    heatmap, _ = axes(Section.HEATMAP)
    assert shades(heatmap) == pytest.approx(starts, nan_ok=True)

    bars, line = axes(Section.UTILISATION)
    for part, drawn in zip(("booked", "buffer", "travel", "free"), bars.containers, strict=True):
        hours = sum(column(Section.UTILISATION, f"{part}_minutes")) / 60
        assert [bar.get_width() for bar in drawn] == [hours]
    assert [*line.lines[0].get_ydata()] == column(Section.UTILISATION, "utilisation_percent")

    steps, refusals = axes(Section.FUNNEL)
    assert [bar.get_width() for bar in steps.patches] == [
        column(Section.FUNNEL, name)[0] for name in ("searches", "holds", "bookings", "kept")
    ]
    assert [bar.get_width() for bar in refusals.patches] == column(Section.FUNNEL, "refusals")[1:]

    panels = ("searches", "searches_without_result", "holds", "refused_holds")
    for drawn, name in zip(axes(Section.PEAKS)[:4], panels, strict=True):
        assert shades(drawn) == column(Section.PEAKS, name)

    rates, notice, leads = axes(Section.CANCELLATIONS)
    for drawn, name in zip(rates.lines, ("cancellation_percent", "no_show_percent"), strict=True):
        assert [*drawn.get_ydata()] == column(Section.CANCELLATIONS, name)[1:]
    late = column(Section.CANCELLATIONS, "cancelled_late")[1:]
    assert [bar.get_height() for bar in notice.containers[1]] == late
    names = ("same_day", "days_1_to_6", "days_7_to_29", "days_30_or_more")
    assert [bar.get_width() for bar in leads.patches] == [
        column(Section.CANCELLATIONS, name)[0] for name in names
    ]


def test_the_page_needs_nothing_else_and_obeys_no_name(module_run: Run, counted: Salon) -> None:
    text = module_run("report", "--tenant", counted.tenant, "--html", "-", *NOW).out
    assert text.startswith("<!DOCTYPE html>")
    assert text.rstrip().endswith("</html>")
    assert text.count('src="data:image/png;base64,') == 5
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; $x^2" in text
    markup = re.sub(r'base64,[^"]*', "", text)
    assert not re.search(r"<script|<link|<iframe|<object|@import|url\(|\son\w+=", markup)
    assert not re.search(r"(src|href)=(?!\"data:)", markup)
    assert "//" not in markup
    assert markup.count("<table>") > 8
    assert markup.count("alt=") == 5


def test_nothing_is_told_of_customers(module_run: Run, counted: Salon, tmp_path: Path) -> None:
    command = ("report", "--tenant", counted.tenant, *NOW)
    told = module_run(*command).out + module_run(*command, "--json").out
    module_run(*command, "--html", tmp_path / "r.html", "--csv", tmp_path, "--png", tmp_path)
    told += "".join(each.read_text("latin-1") for each in tmp_path.iterdir())
    assert "Ada" in told
    assert [secret for secret in SECRETS if secret in told] == []


def test_the_terminal_shows_plots_and_tables(
    module_run: Run, counted: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    answer = module_run("report", "--tenant", counted.tenant, *NOW)
    assert answer.code == 0
    assert "Salon, 2025-12-06 to 2026-03-05 (Europe/Berlin)" in answer.out
    assert "2 searches → 2 holds (100%) → 2 bookings (100%) → 1 kept (50%)." in answer.out
    assert "█" in answer.out
    assert "slot_taken" in answer.out
    assert "Monday 07:00" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 100
    assert "\x1b" not in answer.out
    # Nothing has been rolled up, and the default is more days than are counted live.
    assert "Days before 2026-02-03 are missing" in answer.out


def test_a_range_without_figures_is_said_to_be_one(
    module_run: Run, counted: Salon, tmp_path: Path
) -> None:
    command = ("report", "--tenant", counted.tenant, "--from", "2020-01-01", "--to", "2020-01-31")
    answer = module_run(*command)
    assert answer.code == 0
    assert answer.out.count("There is nothing to report in this range.") == 5
    page = tmp_path / "r.html"
    assert module_run(*command, "--html", page, "--csv", tmp_path, "--png", tmp_path).code == 0
    assert page.read_text().count("There is nothing to report in this range.") == 5
    assert "<img" not in page.read_text()
    for section in Section:
        assert rows_of((tmp_path / f"{section}.csv").read_bytes()) == []
        assert size_of((tmp_path / f"{section}.png").read_bytes())[0] == 1500
    assert module_run(*command, "--json").json["sections"]["heatmap"] == {"cells": []}


def test_one_section_can_go_to_a_file_of_its_own(
    module_run: Run, counted: Salon, tmp_path: Path
) -> None:
    command = ("report", "heatmap", "--tenant", counted.tenant, *NOW)
    png, table = tmp_path / "a.png", tmp_path / "b.csv"
    png.write_bytes(b"old")
    png.chmod(0o640)
    assert module_run(*command, "--png", png, "--csv", table).code == 0
    assert size_of(png.read_bytes())[0] == 1500
    assert png.stat().st_mode & 0o777 == 0o640
    assert {each.name for each in tmp_path.iterdir()} == {"a.png", "b.csv"}
    assert module_run(*command, "--csv", "-").out.encode() == table.read_bytes()


def test_what_cannot_be_asked_is_told_in_one_sentence(
    module_run: Run, counted: Salon, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    tenant = ("--tenant", counted.tenant)
    for complaint, code, arguments in (
        ("'sales' is none of utilisation, funnel", 2, ("sales", *tenant)),
        ("'2026-02-30' is not a date like", 2, ("--from", "2026-02-30", *tenant)),
        ("--from 2026-03-06 is after --to 2026-03-05", 2, ("--from", "2026-03-06", *tenant)),
        ("--to 0001-01-01 is not between the years 1901", 2, ("--to", "0001-01-01", *tenant)),
        ("There is no tenant 'nobody'", 2, ("--tenant", "nobody")),
        ("is one file, where a folder for 5 sections", 2, ("--png", tmp_path / "a.png", *tenant)),
        ("is one file, where a folder for 5 sections", 2, ("--csv", "-", *tenant)),
        (
            "is a file, where a folder or a name",
            2,
            ("heatmap", "--csv", tmp_path / "file", *tenant),
        ),
        ("is a folder, where the name of a file", 2, ("--html", tmp_path, *tenant)),
        ("Only one of them can go to stdout", 2, ("--html", "-", "--json", *tenant)),
        (
            f"--html {tmp_path}/none/r.html cannot be written: No such file or directory.",
            1,
            ("--html", tmp_path / "none" / "r.html", *tenant),
        ),
        (
            f"--csv {tmp_path}/file/c/heatmap.csv cannot be written: Not a directory.",
            1,
            ("heatmap", "--csv", tmp_path / "file" / "c", *tenant),
        ),
    ):
        answer = module_run("report", *arguments, *NOW)
        # typer frames what is wrong with an option
        said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", answer.err).split())
        assert (answer.code, complaint in said) == (code, True), answer.err
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_without_the_extra_figures_can_be_had_and_pictures_say_what_they_want(
    module_run: Run, counted: Salon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "plotext", None)
    command = ("report", "--tenant", counted.tenant, *NOW)
    for options in ((), ("--html", tmp_path / "r.html"), ("--png", tmp_path)):
        answer = module_run(*command, *options)
        assert (answer.code, "pip install 'pgbooking[report]'" in answer.err) == (2, True)
    assert [*tmp_path.iterdir()] == []
    assert module_run(*command, "--json", "--csv", tmp_path).code == 0
    assert len([*tmp_path.iterdir()]) == 5


def test_a_long_range_is_told_by_months(module_run: Run, counted: Salon) -> None:
    command = ("report", "cancellations", "--tenant", counted.tenant, "--from", "2025-03-15", *NOW)
    told = module_run(*command, "--json").json["sections"]["cancellations"]
    assert told["period"] == "month"
    assert [(each["first_date"], each["appointments"]) for each in told["periods"]] == [
        ("2026-03-01", 3)
    ]
    assert "By month" in (answer := module_run(*command).out)
    assert re.search(r"^2026-03 +3 ", answer, re.MULTILINE)


def test_whoever_migrates_may_report(
    run: Run, salon: Salon, server: Server, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    salon.appointment(datetime.fromisoformat("2026-02-27T10:00+01:00"))
    salon.db.execute("select booking.roll_up_next()")
    role = f"reporter_{uuid4().hex[:8]}"
    server.administer(f"create role {role} login in role booking_owner")
    try:
        monkeypatch.setenv("DATABASE_URL", make_conninfo(database_url, user=role))
        dates = ("--from", "2026-02-01", "--to", "2026-02-28")
        answer = run("report", "cancellations", *dates, "--json")
    finally:
        server.administer(f"drop role {role}")
    assert answer.code == 0, answer.err
    assert answer.json["sections"]["cancellations"]["all"]["appointments"] == 1


def test_several_tenants_want_one_to_be_named(run: Run, salon: Salon) -> None:
    assert run("report", "funnel", "--json", *NOW).code == 0
    salon.db.execute("insert into booking.tenants (name, timezone) values ('Other', 'UTC')")
    answer = run("report", "--json", *NOW)
    assert (answer.code, "There are 2 tenants" in answer.err) == (2, True)


@pytest.mark.parametrize("people", [1, 30])
def test_few_and_many_people_fit_on_a_page(people: int) -> None:
    report = made(people)
    width, height = size_of(report_plots.png(report, Section.UTILISATION))
    assert width == 1500
    assert height < 1500 * 297 / 210 * 1.05
    page = report_page.page(report, lambda _: b"")
    assert page.count(b"Person ") >= people


def test_names_do_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    report = made(1, name="=cmd|\x1b[31m\n$\\frac{$ [bold]")
    report = replace(report, tenant=replace(report.tenant, name="</title><script>"))
    assert size_of(report_plots.png(report, Section.UTILISATION))[1] > 300
    (row, _) = rows_of(report_output.as_csv(report, Section.UTILISATION))
    assert row["staff"].startswith("'=cmd")
    report_terminal.print_report(report)
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "[bold]" in told
    assert b"<script>" not in report_page.page(report, lambda _: b"")


def test_appointments_of_people_without_hours_are_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = made(2)
    use = report.sections[Section.UTILISATION]
    assert isinstance(use, Utilisation)
    nothing: dict[str, Any] = {"working_minutes": 0, "free_minutes": 0, "utilisation_percent": None}
    report.sections[Section.UTILISATION] = replace(
        use,
        people=[replace(each, **nothing) for each in use.people],
        weeks=[replace(each, **nothing) for each in use.weeks],
    )
    report_terminal.print_report(report)
    assert "Nobody had working time" in capsys.readouterr().out
    assert b"Nobody had working time" in report_page.page(
        report, lambda section: report_plots.png(report, section)
    )


def made(people: int = 1, name: str | None = None) -> Report:
    """A report of made-up figures, of two weeks."""
    first, weeks = date(2026, 3, 2), (date(2026, 3, 2), date(2026, 3, 9))
    ids = [uuid4() for _ in range(people)]
    names = [name or f"Person {number}" for number in range(people)]
    minutes = (2400, 1200, 120, 60, 1020, 50.0)
    utilisation = Utilisation(
        first,
        date(2026, 3, 15),
        [Person(each, names[n], 4800, 2400, 240, 120, 2040, 50.0) for n, each in enumerate(ids)],
        [
            PersonWeek(each, names[n], week, *minutes)
            for n, each in enumerate(ids)
            for week in weeks
        ],
    )
    step: dict[str, Any] = {"searches": 40, "holds": 20, "bookings": 10, "kept": 8}
    funnel = Funnel(Step("all", None, **step), [], [], [Step("refusal", "slot_taken", refusals=3)])
    hours = [(weekday, hour) for weekday in range(1, 8) for hour in range(9, 12)]
    starts = [
        Starts(day, hour, 4, 0, hour % 4, 25.0 * (hour % 4)) if day < 7 else Starts(day, hour)
        for day, hour in hours
    ]
    calls = [Demand(day, hour, day + hour, day, 2, 1, 1) for day, hour in hours]
    fates = [
        Fate(week, 10, 2, 1, 1, 20.0 + n, 10.0, 30.0, 1, 2, 3, 4) for n, week in enumerate(weeks)
    ]
    return Report(
        Tenant(uuid4(), "Salon", "salon", "Europe/Berlin"),
        "Europe/Berlin",
        first,
        date(2026, 3, 15),
        datetime(2026, 3, 15, 12, tzinfo=UTC),
        None,
        {
            Section.UTILISATION: utilisation,
            Section.FUNNEL: funnel,
            Section.HEATMAP: Heatmap(starts),
            Section.PEAKS: Peaks(calls),
            Section.CANCELLATIONS: Cancellations(
                "week", replace(fates[0], first_date=None, appointments=20), fates
            ),
        },
    )
