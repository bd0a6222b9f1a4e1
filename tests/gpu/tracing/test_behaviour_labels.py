"""The paper's label and the latent-language label."""

import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from hypothesis import given
from hypothesis import strategies as st

from jobs.gpu.tracing.behaviour_labels import Latent, behaviour, latent_behaviour

pytestmark = pytest.mark.torch
SOURCE = frozenset([1, 2])


@pytest.mark.parametrize(
    ("ids", "probabilities", "expected"),
    [
        ([5, 7, 9], [0.1, 0.8, 0.5], ("pivot", 1)),  # a third token is the surest
        ([5, 9, 9], [0.1, 0.8, 0.5], ("direct", 1)),  # the surest is already the answer
        ([5, 1, 9], [0.1, 0.8, 0.5], ("direct", 1)),  # a token of the source word is no pivot
        ([7, 5, 9], [0.8, 0.1, 0.8], ("direct", 2)),  # a tie goes to the later layer
        ([9, 7, 9], [0.8, 0.8, 0.1], ("pivot", 1)),
    ],
)
def test_behaviour_labels(ids: list[int], probabilities: list[float], expected: tuple[str, int]) -> None:
    assert behaviour(ids, probabilities, SOURCE) == expected


ALL, NONE = [True] * 4, [0.0] * 4


@pytest.mark.parametrize(
    ("p", "reached", "decides", "expected"),
    [
        ({"en": [0, 0.5, 0.3, 0]}, {"en": NONE}, ALL, Latent("pivot", "en", 1)),
        ({"en": [0, 0.5, 0.3, 0]}, {"en": NONE}, [True, False, True, True], Latent("pivot", "en", 2)),
        ({"en": [0, 0.5, 0.3, 0]}, {"en": [0, 0.02, 0, 0]}, ALL, Latent("pivot", "en", 2)),
        ({"en": [0, 0.1, 0.1, 0]}, {"en": NONE}, ALL, Latent("direct", "en", 2)),  # the level itself is not above it
        ({"en": [0, 0.5, 0.3, 0]}, {"en": [0.01] * 4}, ALL, Latent("direct", "en", 1)),  # others reach it too
        ({"en": [0, 0, 0, 0.9]}, {"en": NONE}, ALL, Latent("direct", "en", 2)),  # the last layer is no middle layer
        ({"en": [0, 0.5, 0.3, 0]}, {"en": NONE}, [False] * 3 + [True], Latent("undecided", None, None)),
        ({}, {}, ALL, Latent("undecided", None, None)),
        ({"en": [0, 0.5, 0, 0], "ja": [0, 0.2, 0, 0]}, {"en": [1] * 4, "ja": NONE}, ALL, Latent("pivot", "ja", 1)),
    ],
)
def test_latent_labels(
    p: dict[str, list[float]], reached: dict[str, list[float]], decides: list[bool], expected: Latent
) -> None:
    assert latent_behaviour(p, reached, decides, 0.1, 0.01) == expected


SHARES = st.lists(st.floats(0, 1), min_size=4, max_size=4)


@given(p=SHARES, reached=SHARES, decides=st.lists(st.booleans(), min_size=4, max_size=4))
def test_no_label_is_decided_by_a_layer_whose_best_token_is_no_word(
    p: list[float], reached: list[float], decides: list[bool]
) -> None:
    found = latent_behaviour({"en": p}, {"en": reached}, decides, 0.1, 0.01)
    if found.layer is None:
        assert found.label == "undecided"
        assert not any(decides[:-1])
    else:
        assert decides[found.layer]
        assert found.layer < 3
        passes = [k for k in range(3) if decides[k] and p[k] > 0.1 and reached[k] < 0.01]
        assert (found.label == "pivot") == bool(passes)
        assert found.layer in passes or not passes
