"""What the SQL of schema booking can say: the refusals written in it, and who reaches them."""

from __future__ import annotations

import re
from pathlib import Path

SQL = Path(__file__).parents[2] / "sql"


def functions() -> dict[str, str]:
    """The text of each function of schema booking."""
    texts = {}
    for path in SQL.rglob("*.sql"):
        for text in path.read_text().split("create or replace function booking.")[1:]:
            name, _, rest = text.partition("(")
            texts[name] = re.sub(r"--.*|comment on[^;]*;", "", rest)
    return texts


def refusals(text: str) -> list[tuple[str, str]]:
    """The code and the message (as a pattern) of each refusal that a function gives itself."""
    found = re.findall(r"booking\.refuse\(\s*'(\w+)',\s*(?:format\(\s*)?'((?:[^']|'')*)'", text)
    assert len(found) == text.count("booking.refuse("), f"a refusal of another form in {text}"
    return [
        (code, re.escape(message.replace("''", "'")).replace("%s", ".*")) for code, message in found
    ]


def possible_refusals(worker: str) -> set[tuple[str, str]]:
    """Code and message (as a pattern) of each refusal that a worker or what it calls can give."""
    texts = functions()
    return {
        refusal
        for name in reached_from(worker, texts) - {"refuse"}
        for refusal in refusals(texts[name])
    }


def reached_from(name: str, texts: dict[str, str]) -> set[str]:
    """A function and all that it calls, however far down."""
    reached: set[str] = set()
    ahead = {name}
    while ahead:
        reached |= ahead
        called = {call for name in ahead for call in re.findall(r"booking\.(\w+)\(", texts[name])}
        ahead = (called & texts.keys()) - reached
    return reached
