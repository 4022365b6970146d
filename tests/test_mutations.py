"""The list of mutations follows the code: what it breaks is there, and so is who must notice."""

from __future__ import annotations

import pytest

from tests.mutations import MUTATIONS, PROJECT, Mutation, broken_files


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_is_broken_is_there_once_and_its_tests_exist(mutation: Mutation) -> None:
    assert broken_files(mutation, PROJECT)
    file, _, name = mutation.tests.partition("::")
    assert f"def {name}" in (PROJECT / file).read_text()
