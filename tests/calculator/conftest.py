"""Prints at the end of a run what random calendars were made of, and what was explained of them."""

from collections import Counter
from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    print_composition(terminalreporter)
    print_verdicts(terminalreporter)


def print_composition(terminalreporter: pytest.TerminalReporter) -> None:
    total: Counter[str] = Counter()
    for composition in recorded(terminalreporter, "composition"):
        total.update(composition)
    if not total:
        return
    calendars = total.pop("calendars")
    terminalreporter.write_sep("=", f"{calendars} random calendars, of which")
    for trait, count in total.most_common():
        terminalreporter.write_line(f"{count / calendars:6.1%}  {trait}")


def print_verdicts(terminalreporter: pytest.TerminalReporter) -> None:
    total: dict[str, Counter[bool | None]] = {}
    for verdicts in recorded(terminalreporter, "verdicts"):
        for rule, passed, count in verdicts:
            total.setdefault(rule, Counter())[passed] += count
    if not total:
        return
    starts = next(iter(total.values())).total()
    terminalreporter.write_sep("=", f"{starts:,} starts explained; passed, failed, not asked")
    for rule, counts in total.items():
        columns = "".join(f"{counts[passed]:8,}" for passed in (True, False, None))
        terminalreporter.write_line(f"{columns}  {rule}")


def recorded(terminalreporter: pytest.TerminalReporter, name: str) -> list[Any]:
    """What tests recorded as a property of that name."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    return [value for report in reports for key, value in report.user_properties if key == name]
