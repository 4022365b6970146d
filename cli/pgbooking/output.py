"""What commands print: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from rich.progress import Progress

MOST_SHOWN = 1000
"""Characters of a text that may come from a file."""

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def print_json(value: Any) -> None:
    """A report for programs: one JSON document; dataclasses and times are allowed in it."""
    print(json.dumps(value, default=_as_json, indent=2, ensure_ascii=False))


def print_error(message: str, hint: str | None = None) -> None:
    """One sentence, and what to do about it."""
    print(f"Error: {shown(message)}", file=sys.stderr)
    if hint:
        print(f"Hint:  {shown(hint)}", file=sys.stderr)


def shown(text: str) -> str:
    """What may come from a file, as people can read it: not endless, and nothing that a terminal
    would obey."""
    if len(text) > MOST_SHOWN:
        text = f"{text[:MOST_SHOWN]}…"
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def write_output(file: str, content: bytes) -> None:
    """To stdout ("-") or to a file, which readers see as it was or as it is, never half of it."""
    path = Path(file).resolve()
    if file == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    elif path.exists() and not path.is_file():
        path.write_bytes(content)  # a device or a pipe
    else:
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(content)
            if path.exists():
                beside.chmod(path.stat().st_mode)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr that disappears when done; silent where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield bar


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
