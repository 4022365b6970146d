"""What images are built from: the project, and nothing else that lies about in a checkout."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_what_git_does_not_keep_is_not_copied_into_an_image() -> None:
    # Secrets (deploy/.env) among it. Docker's patterns begin at the root, git's only with a slash.
    ignored = (PROJECT / ".gitignore").read_text().split()
    expected = {pattern if "/" in pattern[:-1] else f"**/{pattern}" for pattern in ignored}
    assert expected | {".git/"} <= set((PROJECT / ".dockerignore").read_text().splitlines())
