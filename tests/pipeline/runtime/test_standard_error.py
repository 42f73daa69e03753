"""What libraries write to the standard error is kept back unless something fails."""

import os
import sys

import pytest

from pipeline.runtime.standard_error import held_back


def greet():
    os.write(2, b"a greeting of C++\n")
    print("one of Python", file=sys.stderr)


def test_nothing_is_said_where_all_goes_well(capfd):
    with held_back():
        greet()
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_all_is_said_where_the_block_fails(capfd):
    with pytest.raises(ValueError, match="no"), held_back():  # noqa: PT012
        greet()
        raise ValueError("no")
    found = capfd.readouterr().err
    assert "a greeting of C++" in found
