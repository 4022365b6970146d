"""Files of the corpus, and the loop that tries them and what is made of them."""

from __future__ import annotations

import codecs
import os
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from tests.fuzz.mutating import mutated

CASES = int(os.environ.get("PGBOOKING_CASES", "2000"))
SEED = int(os.environ.get("PGBOOKING_SEED", random.randrange(2**32)))

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(tempfile.gettempdir()) / "pgbooking-found"
ESCAPED = ".escaped"

TRIES_TO_SHORTEN = 100
SECONDS_TO_SHORTEN = 5.0
MOST_FAULTS = 10

PLAIN = {*range(0x20, 0x7F), 0x0A} - {0x5C}


@dataclass(frozen=True)
class Sample:
    """An input: `name` is KIND.WHAT.SUFFIX; `mapping` is KIND.WHAT.toml beside a file that has one.

    Bytes that are not printable ASCII stand as in a Python literal, in a file called ….escaped.
    """

    name: str
    content: bytes
    mapping: bytes | None = None

    @property
    def kind(self) -> str:
        """What it is to be taken for."""
        return self.name.partition(".")[0]

    @property
    def suffix(self) -> str:
        """Its kind of file."""
        return self.name.rpartition(".")[2]

    def files(self) -> dict[str, bytes]:
        """What it consists of, by name."""
        files = {self.name: self.content}
        if self.mapping is not None:
            files[f"{self.name.removesuffix(self.suffix)}toml"] = self.mapping
        return files

    def save(self, folder: Path) -> None:
        """Write it as the corpus has it."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files().items():
            text = escaped(content)
            is_plain = text.encode() == content
            (folder / f"{name}{'' if is_plain else ESCAPED}").write_bytes(text.encode())


# What is wrong with what became of it, or None; and which kind of outcome that was.
Judge = Callable[[Sample], tuple[str, str | None]]


def escaped(content: bytes) -> str:
    """As in a Python literal, but for line feeds."""
    return "".join(
        chr(byte) if byte in PLAIN else "\\\\" if byte == 0x5C else f"\\x{byte:02x}"
        for byte in content
    )


def corpus(folder: str) -> list[Sample]:
    """The samples of a folder of the corpus, by name."""
    files = {}
    for path in sorted((CORPUS / folder).iterdir()):
        content = path.read_bytes()
        if path.name.endswith(ESCAPED):
            content = codecs.escape_decode(content)[0]
        files[path.name.removesuffix(ESCAPED)] = content
    samples = []
    for name, content in files.items():
        beside = f"{name.rpartition('.')[0]}.toml"
        if name != beside or not any(name.removesuffix("toml") + each in files for each in DATA):
            samples.append(Sample(name, content, files.get(beside) if name != beside else None))
    return samples


DATA = ("csv", "ics")


def try_all(folder: str, judge: Judge, cases: int, expected: set[str]) -> None:
    """The corpus, then so many made of it. Fails where the judge finds a fault, or where a kind of
    outcome that is expected never came: then this would show little."""
    print(f"PGBOOKING_SEED={SEED} PGBOOKING_CASES={CASES}")
    samples = corpus(folder)
    outcomes: Counter[str] = Counter()
    faults: dict[str, str] = {}
    slowest = 0.0
    for number, sample in enumerate(chain(samples, made_of(samples, cases))):
        if number == len(samples) and faults:
            break  # what is known comes first
        began = time.process_time()
        outcome, fault = judge(sample)
        slowest = max(slowest, time.process_time() - began)
        outcomes[outcome] += 1
        if fault and (about := what_about(fault)) not in faults:
            if number >= len(samples):
                sample = shortened(sample, judge, about)
            faults[about] = told(folder, sample, fault)
            if len(faults) == MOST_FAULTS:
                break
    print(f"{folder}: {dict(outcomes)}, the slowest in {slowest:.2f} s")
    assert not faults, "\n\n".join(faults.values())
    assert expected <= set(outcomes)


def made_of(samples: list[Sample], cases: int) -> Iterator[Sample]:
    """So many samples, each by a generator of its own."""
    for number in range(cases):
        random_ = random.Random(f"{SEED} {number}")
        sample = random_.choice(samples)
        others = [each.content for each in samples]
        if sample.mapping is not None and random_.random() < 0.3:
            mappings = [each.mapping for each in samples if each.mapping is not None]
            sample = replace(sample, mapping=mutated(random_, sample.mapping, mappings))
        else:
            sample = replace(sample, content=mutated(random_, sample.content, others))
        yield replace(sample, name=f"{sample.kind}.{SEED}-{number}.{sample.suffix}")


def what_about(fault: str) -> str:
    """The fault without what is different each time."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "", fault.splitlines()[0])[:80]


def told(folder: str, sample: Sample, fault: str) -> str:
    """The fault and its input, which is saved."""
    sample.save(FOUND / folder)
    texts = [f"{name}:\n{escaped(text)[:2000]}" for name, text in sample.files().items()]
    return "\n".join(
        [
            fault[:2000],
            f"saved in {FOUND / folder}; mend it, give it a name and keep it in {CORPUS / folder}",
            *texts,
        ]
    )


def shortened(sample: Sample, judge: Judge, about: str) -> Sample:
    """The same fault in fewer lines and fewer bytes, as far as that is found soon."""
    until = time.monotonic() + SECONDS_TO_SHORTEN
    tries = TRIES_TO_SHORTEN
    for part in ("content", "mapping"):
        for separator in (b"\n", b""):
            whole = getattr(sample, part)
            if whole is None:
                continue
            pieces = whole.split(b"\n") if separator else [bytes([each]) for each in whole]
            size = len(pieces) // 2
            while size:
                start = 0
                while start < len(pieces):
                    if not tries or time.monotonic() > until:
                        return sample
                    tries -= 1
                    fewer = pieces[:start] + pieces[start + size :]
                    candidate = _with(sample, part, separator.join(fewer))
                    fault = judge(candidate)[1]
                    if fault and what_about(fault) == about:
                        sample, pieces = candidate, fewer
                    else:
                        start += size
                size //= 2
    return sample


def _with(sample: Sample, part: str, content: bytes) -> Sample:
    if part == "content":
        return replace(sample, content=content)
    return replace(sample, mapping=content)
