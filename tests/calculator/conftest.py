"""A database for many made-up calendars, and what the random ones were made of."""

import psycopg
import pytest


@pytest.fixture
def calendar_db(module_db: psycopg.Connection) -> psycopg.Connection:
    """The module's database, in a transaction, without the check of zone names.

    That check reads the server's whole time zone directory (25 ms) for each tenant and place.
    """
    module_db.execute("alter table booking.tenants drop constraint timezone_is_an_iana_name")
    module_db.execute(
        "alter table booking.locations drop constraint location_timezone_is_an_iana_name"
    )
    return module_db


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    compositions = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == "composition"
    ]
    if not compositions:
        return
    calendars = sum(composition["calendars"] for composition in compositions)
    terminalreporter.write_sep("=", f"{calendars} random calendars, of which")
    for composition in compositions:
        share = composition["calendars"] / calendars
        terminalreporter.write_line(f"{share:6.1%}  alignment {composition['alignment']}")
    traits = dict.fromkeys(trait for row in compositions for trait in row)
    for trait in [trait for trait in traits if trait not in ("alignment", "calendars")]:
        share = sum(composition.get(trait, 0) for composition in compositions) / calendars
        terminalreporter.write_line(f"{share:6.1%}  {trait}")
