"""Whatever a CSV file or its mapping holds: what can be loaded is, the rest is told, and the second
run changes nothing; or one sentence says why nothing can be, and nothing was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.samples import CASES, Judge, Sample, try_all
from tests.salon import Salon

JudgeBy = Callable[[Callable[[Sample, Path], list[object]]], Judge]


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # of the encoding unicode_escape
def test_every_csv_is_loaded_or_refused_with_a_sentence(
    salon: Salon, import_judge: JudgeBy
) -> None:
    def arguments(sample: Sample, folder: Path) -> list[object]:
        mapping = ["--map", folder / "input.toml"] if sample.mapping is not None else []
        owner = [] if b"[tenant]" in (sample.mapping or b"") else ["--tenant", salon.tenant]
        return [folder / "input.csv", *mapping, *owner]

    try_all("csv", import_judge(arguments), CASES // 4, {"all loaded", "some rejected", "problem"})
