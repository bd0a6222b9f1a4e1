"""What a step leaves in a worker is given back before the next one counts."""

from pathlib import Path

from pivot_udfs.count_cooccurrence import release_memory
from pivot_udfs.text.identify_language import language_model
from pivot_udfs.tokenization.backends import encoder, load_tokenizer

SAMPLES = Path(__file__).parents[1] / "samples"


def test_encoders_are_dropped_and_built_anew() -> None:
    spec = load_tokenizer(str(SAMPLES / "tokenizer.json"))
    before = encoder(spec)
    ids, _ = before(["water 水"])
    release_memory()
    after = encoder(spec)
    assert after is not before
    assert after(["water 水"])[0].tolist() == ids.tolist()


def test_the_language_model_is_dropped() -> None:
    before = language_model()
    release_memory()
    assert language_model() is not before
