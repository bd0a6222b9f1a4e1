"""Selection in this process instead of Spark, for tests that run whole rebuilds hundreds of times.

Which documents are chosen is simpler than in the jobs; what is read, written and committed is not replaced.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import pyarrow as pa
import pytest
from local_frames import LocalFrame

from jobs import count_cooccurrence, filter_documents, find_pivots, rebuild_corpus, score_documents, tokenize_corpus
from jobs.selection.budgeted_sample import Cut
from jobs.selection.select_documents import Cuts
from pivot_udfs.arms import ARMS, PIVOT
from pivot_udfs.settings import Selection

_KEY = ("source", "doc_id", "shard", "record")
_TAKEN = 0.3
"""Of each language's documents."""


def select_without_spark(patch: pytest.MonkeyPatch) -> None:
    """Lets ``rebuild_corpus``, on local frames, end after the datasets; before it ``load_and_count``."""
    jobs = (tokenize_corpus, count_cooccurrence, find_pivots, score_documents, filter_documents)
    patch.setattr(rebuild_corpus, "STAGES", [job.STAGE for job in jobs])
    patch.setattr(filter_documents, "count_arms", lambda *_: {})
    for function in (decide_cuts, count_chosen, select_documents, with_files):
        patch.setattr(filter_documents, function.__name__, function)


def decide_cuts(scores: LocalFrame, selection: Selection) -> Cuts:
    """The cut of each arm in each stratum, after a share of its documents."""
    rows, places = scores.collect(), defaultdict[tuple[str, str], list[tuple[float, int]]](list)
    for arm in selection.arms:
        for row in rows:
            places[arm, _stratum(arm, row)].append(_place(arm, row))
    cuts = [
        Cut(arm, stratum, len(found), *sorted(found)[int(_TAKEN * len(found))])
        for (arm, stratum), found in sorted(places.items())
    ]
    return Cuts(cuts, dict.fromkeys((row["lang"] for row in rows), 0.1))


def _stratum(arm: str, row: Any) -> str:
    """Of each length bin the first."""
    return "/".join(str(row[name]) if name in ("lang", "source") else "0" for name in ARMS[arm].stratum) or "all"


def _place(arm: str, row: Any) -> tuple[float, int]:
    tie = crc32(repr((arm, row["source"], row["doc_id"])).encode())
    return 1 - row["pivot_density"] if arm == PIVOT else tie / (1 << 32), tie


def select_documents(scores: LocalFrame, cuts: Cuts, selection: Selection) -> LocalFrame:
    """The documents before the cuts."""
    firsts = {(cut.arm, cut.stratum): (cut.value, cut.tie) for cut in cuts.cuts}
    rows = [
        {name: row[name] for name in (*_KEY, "lang", "n_tokens", "pivot_density")}
        | {"shrunken_density": row["pivot_density"]}
        | {arm: _place(arm, row) < firsts.get((arm, _stratum(arm, row)), ()) for arm in selection.arms}
        for row in scores.collect()
    ]
    return LocalFrame([pa.Table.from_pylist([row for row in rows if any(row[arm] for arm in selection.arms)])])


def count_chosen(chosen: LocalFrame, arms: Sequence[str]) -> dict[str, int]:
    """How many documents each arm has."""
    return {arm: sum(row[arm] for row in chosen.collect()) for arm in arms}


def with_files(keys: LocalFrame, files: pa.Table) -> LocalFrame:
    """The keys with the file of each, one partition for each file."""
    of_file = defaultdict[str, list[Mapping[str, Any]]](list)
    for key in (row.asDict() for row in keys.collect()):
        for place in files.to_pylist():
            if place["shard"] == key["shard"] and place["first"] <= key["record"] <= place["last"]:
                of_file[place["file"]].append({"file": place["file"]} | key)
    return LocalFrame([pa.Table.from_pylist(rows) for _, rows in sorted(of_file.items())])
