"""CSV files: rows with the line on which they begin; damage is told apart from bad rows."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.import_mapping import CsvFormat

# What some encodings let through, and no text has.
HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class CsvRow:
    """One row: cells by column name, without blanks around them.

    `line` counts from 1: the file's lines, or a query's rows.
    """

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class BadRow:
    """A row that has more or fewer cells than the header."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Input:
    """What an import reads: a file, or standard input, whole."""

    name: str
    content: bytes


def read_input(file: str) -> Input:
    """The file of that name, or "-", standard input. Raises Problem (exit code 2)."""
    if file == "-":
        return Input("standard input", sys.stdin.buffer.read())
    try:
        return Input(file, Path(file).read_bytes())
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}.", None, EXIT_USAGE) from None


class CsvFile:
    """A file with a header. Raises Problem (exit code 2) where it cannot be read at all."""

    unit = "line"

    def __init__(self, read: Input, file_format: CsvFormat) -> None:
        self.name = read.name
        self.content = read.content
        self.format = file_format
        self.header: list[str] = []

    def rows(self) -> Iterator[CsvRow | BadRow]:
        """Every row but empty ones, in order; `header` is known after the first."""
        self._check_format()
        text = io.TextIOWrapper(io.BytesIO(self.content), encoding=self.format.encoding, newline="")
        try:
            yield from self._rows(csv.reader(text, delimiter=self.format.delimiter, strict=True))
        except UnicodeError as error:
            where = f"byte {error.start}" if isinstance(error, UnicodeDecodeError) else "it"
            raise self._problem(
                f"is not {self.format.encoding}: {where} cannot be read.",
                'Say how it is written in the mapping: [file] encoding = "cp1252", for example.',
            ) from None

    def _check_format(self) -> None:
        delimiter = self.format.delimiter
        if len(delimiter) != 1:
            raise self._problem(
                f"cannot be read: the delimiter {delimiter!r} is not one character."
            )
        if delimiter in '"\r\n\0':
            raise self._problem(f"cannot be read: {delimiter!r} cannot be a delimiter.")
        try:
            io.TextIOWrapper(io.BytesIO(), encoding=self.format.encoding)
        except (LookupError, ValueError):
            raise self._problem(
                f"cannot be read: there is no encoding {self.format.encoding!r}."
            ) from None

    def _rows(self, reader: Any) -> Iterator[CsvRow | BadRow]:
        line = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise self._problem(f"is not CSV: line {line}: {error}.") from None
            if cells is None:
                break
            if any(map(HALF_A_CHARACTER.search, cells)):
                raise self._problem(
                    f"is not {self.format.encoding}: line {line} has half of a character."
                )
            if not self.header:
                self._take_header(cells)
            elif any(cell.strip() for cell in cells):
                yield self._row(line, cells)
            line = reader.line_num + 1
        if not self.header:
            raise self._problem("is empty: its first line must name the columns.")

    def _take_header(self, cells: list[str]) -> None:
        self.header = [cell.strip() for cell in cells]
        check_names(self.name, self.header)

    def _row(self, line: int, cells: list[str]) -> CsvRow | BadRow:
        text = self.format.delimiter.join(cells)
        if len(cells) != len(self.header):
            return BadRow(
                line, text, f"{len(cells)} cells, though the header has {len(self.header)}"
            )
        if "\0" in text:
            return BadRow(line, text.replace("\0", "?"), "a cell holds a zero byte")
        return CsvRow(line, dict(zip(self.header, (cell.strip() for cell in cells), strict=True)))

    def _problem(self, what: str, hint: str | None = None) -> Problem:
        return Problem(f"{self.name} {what}", hint, EXIT_USAGE)


def in_words(header: list[str]) -> str:
    """The columns as a hint lists them, each in a line and not too long."""
    return ", ".join(" ".join(name.split())[:60] for name in header[:60])


def check_names(where: str, header: list[str]) -> None:
    """Raise Problem where two columns have one name."""
    for name in header:
        if header.count(name) > 1:
            raise Problem(f"{where} has two columns called {name!r}.", None, EXIT_USAGE)
