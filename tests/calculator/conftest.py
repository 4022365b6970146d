"""Prints at the end of a run what the random calendars were made of."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    compositions = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == "composition"
    ]
    if not compositions:
        return
    total: Counter[str] = Counter()
    for composition in compositions:
        total.update(composition)
    calendars = total.pop("calendars")
    terminalreporter.write_sep("=", f"{calendars} random calendars, of which")
    for trait, count in total.most_common():
        terminalreporter.write_line(f"{count / calendars:6.1%}  {trait}")
