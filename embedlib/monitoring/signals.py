"""From what was measured to a signal with value, threshold and evidence: pure functions."""

from __future__ import annotations

from embedlib.evaluation.significance import Interval
from embedlib.monitoring.canaries import CanaryResult
from embedlib.monitoring.delta import Delta
from embedlib.monitoring.drift import Drift
from embedlib.monitoring.history import Signal

EXAMPLES = 5


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


def corpus_signal(delta: Delta, share: float) -> Signal:
    """Fires when at least ``share`` of the documents were added, changed or removed."""
    counts = {kind: getattr(delta, kind) for kind in ("added", "changed", "removed", "unchanged")}
    return Signal(
        name="corpus",
        value=delta.share,
        threshold=share,
        fired=delta.share >= share,
        evidence={**counts, "examples": delta.examples},
    )


def drift_signal(drift: Drift, alpha: float, effect: float) -> Signal:
    """Fires when the samples differ significantly and by an energy coefficient that matters."""
    return Signal(
        name="drift",
        value=drift.effect,
        threshold=effect,
        fired=drift.p_value < alpha and drift.effect >= effect,
        evidence={
            "p_value": drift.p_value,
            "alpha": alpha,
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
