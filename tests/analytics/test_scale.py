"""Analytics do not grow dearer with the audit trail: what is rolled up is not read again."""

from __future__ import annotations

from tests.analytics import scale
from tests.postgres import Server


def test_no_view_reads_more_of_a_longer_trail(server: Server) -> None:
    """python -m tests.analytics.scale does the same with ten million rows."""
    for each in scale.compare(server, 20_000, days=60):
        assert each.many.trail == each.few.trail, each
        # The index has a level more.
        assert each.many.pages <= 1.2 * each.few.pages + 50, each
