"""Texts on which a faster tokenizer backend must give the reference's ids before it is used.

They hold what backends are known to differ on. Everything is encoded twice, so that caches are tested too.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from pivot_udfs.tokenization.text_batch import Encoded

_MAX_ADDED = 200
_TEXTS = (
    "The quick brown fox can't jump over 1,234,567.89 dogs; they'll've left by 10:45pm. DON'T!",
    "It'S we'RE she'Ll 'Tis 'dare 'llama o'\u017fare '\u017fS'LL DON'\u017ft \u212a's X'sY iPhone's HTTPServer",
    "L'été où la forêt brûlait, l'œuvre « naïve » coûtait 12,50 €…",
    "L'e\u0301te\u0301 ou\u0300 la fore\u0302t; nai\u0308ve A\u030angstro\u0308m \u212b \ufb01n",
    "他在北京大学学习计算机科学，已经3年了。水很好喝！「繁體字」１２３",
    "吾輩は猫である。名前はまだ無い。ガギグ カ\u3099キ\u3099 ﾊﾝｶｸ 々〆ヶ ー",
    "한국어 \u1112\u1161\u11ab ภาษาไทย हिन्दी עברית العربية ქართული Ελληνικά Русский",
    "🙂👩‍👩‍👧‍👦🇫🇷👍🏽 ꙮ 𐍈 ﷽ \U0001f9ff ᚠ 𠀀 \u200b\u200d\ufeff\ufffd\u00ad\x00\x7f",
    "  two   spaces\n\n\n\ttabs\t\t \r\n \u00a0\u3000\u2028 trailing   ",
    "a/b//c!\n/ #\r\n\r\n  x\n \n\ty !?\u0301A\u0301B \u0301 \u0301\u0302! \u01c5x\u02b0Y\u00aa 12345\u0663\u00bd",
    "def f(x: int) -> list[str]:\n    return [f'{i:>08x}' for i in range(x)]  # x**2 != y//3\n\t</a>",
    "https://example.org/a_b?c=%20d&e=é#f user@example.com C:\\dir\\file.txt ####====----",
    "",
    " ",
    "a",
    "a" * 300,
)


def probe_texts(added_tokens: Iterable[str]) -> list[str]:
    """The texts to encode, each twice: the built-in ones, and ones with the added tokens' text."""
    own = [f"a{token} {token}b {token}" for token in islice(added_tokens, _MAX_ADDED)]
    return [*_TEXTS, *own] * 2


def first_difference(texts: Sequence[str], got: Encoded, expected: Encoded) -> str | None:
    """Where two encodings (flat ids, offsets) of the texts first differ, in words; None if they are equal."""
    for k, text in enumerate(texts):
        ids, wanted = (flat[o[k] : o[k + 1]].tolist() for flat, o in (got, expected))
        if ids != wanted:
            return f"its ids differ on {text!r}: {ids[:12]}, expected {wanted[:12]}"
    return None
