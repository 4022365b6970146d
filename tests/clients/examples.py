"""The clients that the README shows, one in each language."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def example(language: str) -> str:
    """The README's one example in that language, as written."""
    (text,) = re.findall(
        rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL
    )
    return str(text)
