"""How the state machines of Hypothesis are run: as many sequences in each part as there should be.

PGBOOKING_SEQUENCES     how many sequences of steps, in all parts together
PGBOOKING_NO_SHRINKING  set: that a machine fails is enough, say it at once (make mutate)
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

PARTS = 4  # for as many processes
SEQUENCES = int(os.environ.get("PGBOOKING_SEQUENCES", "200")) // PARTS


def run_machine(make: Callable[[], RuleBasedStateMachine], steps: int) -> None:
    """Run one part. What fails is shrunk to the steps that matter."""
    shrinking = () if "PGBOOKING_NO_SHRINKING" in os.environ else (Phase.shrink,)
    run_state_machine_as_test(
        make,  # type: ignore[arg-type] # any factory will do
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=(Phase.generate, *shrinking),
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
