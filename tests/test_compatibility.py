"""Every row of the checklists is proven by a test that names it."""

from __future__ import annotations

import compatibility
import pytest
from compatibility import Proof, Row, Section


def test_every_row_is_proven_and_every_marker_names_a_row() -> None:
    assert compatibility.problems(*compatibility.read()) == []


ROWS = [Section("One", "About.", True, [Row("P-1", "it works"), Row("P-2", "it fails")])]
GOOD = [Proof("P-1", "tests/test_a.py", "test_a"), Proof("P-2", "tests/interop/test_b.py", "b")]


def test_what_is_wrong_is_said() -> None:
    assert compatibility.problems(ROWS, GOOD) == []
    assert compatibility.problems(ROWS, GOOD[:1]) == ["no test proves P-2: it fails"]
    strange = Proof("P-3", "tests/test_a.py", "test_a")
    expected = ["tests/test_a.py: test_a names the unknown row P-3"]
    assert compatibility.problems(ROWS, [*GOOD, strange]) == expected
    impossible = [*ROWS, Section("Two", "", False, [Row("A-1", "never", "nobody can")])]
    assert compatibility.problems(impossible, GOOD) == []
    both = [*GOOD, Proof("A-1", "tests/test_a.py", "test_a")]
    expected = ["a test proves A-1, which is not applicable"]
    assert compatibility.problems(impossible, both) == expected
    assert compatibility.problems([*ROWS, *ROWS], GOOD)[0] == "P-1 is there twice"


CODE = """
import pytest

@pytest.mark.proves("P-1", "A-2")
@pytest.mark.parametrize("number", [1])
def test_both(number): ...

class TestIt:
    @pytest.mark.proves("P-2")
    def test_in_a_class(self): ...

def test_nothing(): ...
"""


def test_markers_are_read_without_running_anything() -> None:
    found = [(proof.row, proof.test) for proof in compatibility.proofs("f", CODE)]
    assert found == [("P-1", "test_both"), ("A-2", "test_both"), ("P-2", "test_in_a_class")]
    computed = "@pytest.mark.proves(ROW)\ndef test_it(): ..."
    with pytest.raises(ValueError, match="f: test_it does not name its rows in quotes"):
        list(compatibility.proofs("f", computed))


def test_rows_without_a_real_program_say_so() -> None:
    text = compatibility.tables(ROWS, GOOD)
    assert f"[test_a](../tests/test_a.py)<br>{compatibility.NOT_RUN} |" in text
    assert "| P-2 | it fails | [b](../tests/interop/test_b.py) |" in text
