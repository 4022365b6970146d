"""plpgsql_check over what an adoption installs, and over what is written from the map."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.adoption.conftest import Legacy
from tests.schema.test_plpgsql_check import findings

# Names of constraints, which were quoted by format.
ON_PURPOSE = re.compile(r"booking_adoption\.write_\w+\(text,jsonb\) .*EXECUTE expression")


def test_plpgsql_check_finds_nothing(legacy: Legacy, need_extension: Callable[[str], None]) -> None:
    need_extension("plpgsql_check")
    legacy.switch()
    found = findings(legacy.db, "booking_adoption")
    assert [each for each in found if not ON_PURPOSE.match(each)] == []
