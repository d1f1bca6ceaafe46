"""From what was measured to a signal with value, threshold and evidence: pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from embedlib.evaluation.significance import Interval
from embedlib.monitoring.canaries import CanaryResult
from embedlib.monitoring.drift import Drift
from embedlib.monitoring.history import Signal

EXAMPLES = 5
#: Significance of a drift of queries.
DRIFT_ALPHA = 0.01


def canary_signal(result: CanaryResult, k: int, drop: float) -> Signal:
    """Fires when the share of canaries found in the first k fell by at least ``drop``."""
    return Signal(
        name="canaries",
        value=result.share,
        threshold=result.baseline - drop,
        fired=result.baseline - result.share >= drop - 1e-9,
        evidence={"baseline": result.baseline, "asked": result.asked, "k": k, "lost": result.lost[:EXAMPLES]},
    )


def label_signal(live: Interval, promised: float, drop: float, minimum: int) -> Signal:
    """Fires when even the high end of nDCG@10 on fresh labels is ``drop`` below what the test promised.

    Never fires on fewer than ``minimum`` queries.
    """
    return Signal(
        name="labels",
        value=live.mean,
        threshold=promised - drop,
        fired=live.n >= minimum and live.high < promised - drop,
        evidence={"low": live.low, "high": live.high, "queries": live.n, "on test": promised},
    )


def corpus_signal(before: Mapping[str, str], after: Mapping[str, str], share: float) -> Signal:
    """Fires when at least ``share`` of the documents were added, changed or removed since the release.

    Args:
        before: Content hash of each document of the release.
        after: The same now.
        share: Of the release's documents.
    """
    kinds = {
        "added": sorted(after.keys() - before.keys()),
        "changed": sorted(i for i in before.keys() & after.keys() if before[i] != after[i]),
        "removed": sorted(before.keys() - after.keys()),
    }
    counts = {kind: len(ids) for kind, ids in kinds.items()}
    value = sum(counts.values()) / max(len(before), 1)
    unchanged = len(before) - counts["changed"] - counts["removed"]
    examples = {kind: ids[:EXAMPLES] for kind, ids in kinds.items()}
    return Signal(
        name="corpus",
        value=value,
        threshold=share,
        fired=value >= share,
        evidence={**counts, "unchanged": unchanged, "examples": examples},
    )


def drift_signal(drift: Drift, effect: float) -> Signal:
    """Fires when the samples differ significantly and by an energy coefficient that matters."""
    return Signal(
        name="drift",
        value=drift.effect,
        threshold=effect,
        fired=drift.p_value < DRIFT_ALPHA and drift.effect >= effect,
        evidence={
            "p_value": drift.p_value,
            "alpha": DRIFT_ALPHA,
            "training queries": drift.reference,
            "recent queries": drift.recent,
        },
    )


def vocabulary_signal(recent: float, reference: float, rise: float) -> Signal:
    """Fires when words unknown to the corpus became more frequent by at least ``rise``."""
    return Signal(
        name="vocabulary",
        value=recent,
        threshold=reference + rise,
        fired=recent - reference >= rise - 1e-9,
        evidence={"in training queries": reference},
    )


def index_signal(damage: str) -> Signal:
    """Fires when the release's files are damaged; ``damage`` is empty when they are whole."""
    return Signal(
        name="index",
        value=float(bool(damage)),
        threshold=1.0,
        fired=bool(damage),
        evidence={"damage": damage} if damage else {},
    )


def age_signal(age_days: float, limit_days: float) -> Signal:
    """Fires when the release is older than ``limit_days``; warns only, no event follows from it."""
    return Signal(name="age", value=age_days, threshold=limit_days, fired=age_days > limit_days, evidence={})
