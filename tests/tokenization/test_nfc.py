"""Normal form C: equal to the reference's, or left to it."""

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from pivot_udfs.tokenization.nfc import is_nfc, to_nfc

NFC = normalizers.NFC()
MARKS = [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.combining(chr(c))]
LETTERS = "aeou\u1100\u1161\u0958\u212b\u00e9"
TEXT = st.text(st.one_of(st.sampled_from(MARKS), st.sampled_from(LETTERS), st.characters(exclude_categories=["Cs"])))


@given(text=TEXT)
def test_the_normal_form_is_that_of_the_reference_or_left_to_it(text: str) -> None:
    assert to_nfc(text) in (None, NFC.normalize_str(text))
    if is_nfc(text):
        assert NFC.normalize_str(text) == text


def test_common_text_is_not_left_to_the_reference() -> None:
    assert to_nfc("e\u0301 \u1112\u1161\u11ab \u30ab\u3099 \u0958") == "\u00e9 \ud55c \u30ac \u0915\u093c"
    assert to_nfc("e\u0898\u0301") is None, "U+0898 is a mark to Python only"


def test_the_reference_knows_no_character_that_python_does_not() -> None:
    """What Python takes for normalized must be so for the reference; holds while its tables are the older ones."""
    unassigned = [chr(c) for c in range(0x323B0) if unicodedata.category(chr(c)) == "Cn"]
    text = "".join(f"a\u0345{char}\u0334b" for char in unassigned)
    assert NFC.normalize_str(text) == text
