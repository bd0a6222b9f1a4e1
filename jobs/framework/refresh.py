"""When pivots and the cuts of the arms are decided anew: by ``refresh.rule``, on request, or where they cannot stay.

Between refreshes they are pinned: ``Run.pins``. ``jobs.find_pivots`` measures the drift of the pivots.
"""

from collections.abc import Collection, Sequence

from jobs.framework.stage import Run, Stage, make_provenance, of_table, why_write
from pivot_udfs.errors import DamagedTableError
from pivot_udfs.schemas import PINNED
from pivot_udfs.settings import Refresh


def decide_refresh(run: Run, stages: Sequence[Stage], requested: bool) -> None:
    """Sets ``run.refresh`` where pinned tables are made anew whatever ``refresh.rule`` is, and reports why."""
    run.refresh = "it was requested" if requested else None
    if run.pins:
        run.refresh = _why_not_pinned(run, stages)
    if run.refresh:
        run.progress.say("rebuild_corpus", f"refresh: {run.refresh}")


def allowed_drift(refresh: Refresh) -> float:
    """The share of the pivot set that may differ from that of today's counts while the pivots stay, in [0, 1]."""
    return refresh.max_drift if refresh.rule == "on_drift" else 1.0


def drift_between(pinned: Collection[int], found: Collection[int]) -> float:
    """The share of the larger of two pivot sets (token ids) that the other lacks, in [0, 1]; 0 where both are empty."""
    largest = max(len(pinned), len(found))
    return 1 - len({*pinned} & {*found}) / largest if largest else 0.0


def _why_not_pinned(run: Run, stages: Sequence[Stage]) -> str | None:
    """Why pinned tables cannot stay; None where they can, or an input is damaged."""
    pinned = [(stage, table) for stage in stages for table in stage.writes(run.settings) if table in PINNED]
    for stage, table in pinned:
        try:
            provenance = of_table(run, stage, table, make_provenance(run, stage))
        except DamagedTableError:
            continue
        if why := why_write(run, table, provenance):
            return why
    return None
