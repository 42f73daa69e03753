"""Text that others wrote, as a terminal gets it."""

import pytest

from pipeline.runtime.text import CONTROL, readable


@pytest.mark.parametrize(("name", "shown"), [
    ("Bärk 犬.wav", "Bärk 犬.wav"), ("a\nb", r"a\nb"), ("\x1b[2J", r"\x1b[2J"),
    ("\udce9", r"\xe9"), ("\u202egpj", r"\u202egpj"), ("a\\b", "a\\b"), ("\u2028", r"\u2028"),
])
def test_readable_names(name, shown):
    assert readable(name) == shown


def test_what_is_kept_is_not_escaped():
    assert readable("a\tb\n\x1b", keep="\n") == "a\\tb\n\\x1b"


@pytest.mark.parametrize("c", ["\0", "\n", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u2069",
                               "\udce9"])
def test_characters_that_no_name_may_hold(c):
    assert CONTROL.search(f"a{c}b.wav")


def test_characters_of_any_language_may_be_in_names():
    assert not CONTROL.search("Bärk 犬 مرحبا \u200d👩\u200d🚒 = @home +1.wav")
