"""What doctor's checks find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["failure", "warning", "ok"]
LEVELS: tuple[Level, ...] = ("failure", "warning", "ok")


@dataclass(frozen=True)
class Finding:
    """What is so, in one sentence, and what to do about it: SQL, or a command, where one does."""

    check: str
    level: Level
    message: str
    advice: str | None = None
