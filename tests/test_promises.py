"""PROMISES.md says of each promise what keeps it, which tests show it and how it was broken on
purpose. Every name in it exists, and every mutation belongs to a promise."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from pgbooking.catalog import Definition, Privilege, reviewed
from tests.mutations import MUTATIONS, PROJECT, Mutation

PAGE = Path(__file__).with_name("PROMISES.md").read_text()
PROMISES = [f"P{number}" for number in range(1, 9)]
MISTAKES = "The usual mistakes"

# Each promise's own part of the page, and the last one.
PARTS = dict(re.findall(r"^## (P\d|The usual mistakes).*\n((?:(?!## ).*\n)*)", PAGE, re.MULTILINE))

BY_NAME = {mutation.name: mutation for mutation in MUTATIONS}


def table(part: str, heading: str) -> list[tuple[str, str]]:
    """The rows of the part's table with that first heading."""
    found = re.search(rf"^\| {heading} \|.*\n\|---\|---\|\n((?:\|.*\n)*)", part, re.MULTILINE)
    assert found, f"there is no table of what is {heading}"
    return re.findall(r"^\| (.*?) \| (.*?) \|$", found[1], re.MULTILINE)


def known_objects() -> set[str]:
    """Names of constraints, indexes, triggers, functions and policies, as the page has them."""
    names = set()
    for line in reviewed(Definition):
        if line.kind != "column":
            names.add(line.object.split("(")[0].split(": ")[-1].removeprefix("booking."))
    policies = [line.object for line in reviewed(Privilege) if line.kind == "policy"]
    return (
        names
        | {f"booking.{name}" for name in names}
        | {policy.removeprefix("booking.") for policy in policies}
    )


OBJECTS = known_objects()


def exists(name: str) -> bool:
    """Whether a test, a file or an object of the database has that name."""
    file, _, test = name.partition("::")
    if "/" not in file and not file.endswith(".py"):
        return file in OBJECTS
    path = PROJECT / file
    return path.is_file() and (not test or f"\ndef {test}(" in path.read_text())


def named(text: str) -> list[str]:
    """What a cell names."""
    return re.findall("`([^`]+)`", text)


def test_each_promise_has_its_part() -> None:
    assert list(PARTS) == [*PROMISES, MISTAKES]


@pytest.mark.parametrize("promise", PROMISES)
def test_what_keeps_it_and_what_shows_it_exists(promise: str) -> None:
    for heading, column in (("kept by", 0), ("test", 0), ("broken on purpose", 1)):
        rows = table(PARTS[promise], heading)
        for row in rows:
            names = named(row[column])
            assert names, f"{row} names nothing"
            missing = [name for name in names if not exists(name)]
            assert missing == []


@pytest.mark.parametrize("promise", PROMISES)
def test_a_mutation_on_the_page_breaks_that_promise_and_is_noticed_there(promise: str) -> None:
    for name, noticed_by in table(PARTS[promise], "broken on purpose"):
        mutation = BY_NAME[name]
        assert mutation.promise == promise, name
        assert named(noticed_by) == [mutation.tests.split("::")[0]], name


@pytest.mark.parametrize("promise", PROMISES)
def test_a_test_on_the_page_is_named_whole(promise: str) -> None:
    for name, _ in table(PARTS[promise], "test"):
        assert all("::" in each for each in named(name)), name


def test_every_mutation_belongs_to_one_promise_and_the_page_counts_them() -> None:
    assert len(BY_NAME) == len(MUTATIONS), "two mutations have the same name"
    rows = re.findall(r"^\| (P\d) \| .* \| (\d+) \|$", PAGE, re.MULTILINE)
    counted = {promise: int(count) for promise, count in rows}
    assert counted == Counter(mutation.promise for mutation in MUTATIONS)
    assert list(counted) == PROMISES


def test_each_of_the_usual_mistakes_was_made_on_purpose() -> None:
    mistakes = table(PARTS[MISTAKES], "mistake")
    assert len(mistakes) == 9
    missing = [name for _, name in mistakes if name not in BY_NAME]
    assert missing == []


def test_the_page_would_not_pass_with_a_name_that_is_none() -> None:
    for name in (
        "tests/booking/test_audit_log.py::test_no_such_test",
        "tests/no_such_file.py",
        "booking.no_such_function",
        "no_such_constraint",
    ):
        assert not exists(name)
    assert exists("booking.lock_calendars")
    assert exists("one_person_is_in_one_place_at_a_time")
    assert isinstance(MUTATIONS[0], Mutation)
