"""Options of the monitor: what is watched, and when it becomes an event."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from embedlib.config.base import Section
from embedlib.monitoring.triggers import MonitorThresholds


class Monitor(Section):
    """What the monitor looks at, and when that becomes an event."""

    canaries: int = Field(MonitorThresholds.canaries, ge=1, le=2000)
    """Judged queries asked of the live release at each check."""
    canary_drop: float = Field(MonitorThresholds.canary_drop, gt=0, le=1)
    """Loss of found canaries, as a share, against the baseline taken at publish that counts as degraded."""
    labels: Path | None = MonitorThresholds.labels
    """File of fresh labels (query, doc_id, relevance?; JSON lines, CSV or TSV); null = none."""
    labels_drop: float = Field(MonitorThresholds.labels_drop, gt=0, le=1)
    """Degraded when nDCG@10 on fresh labels, at its interval's high end, is this far below the test's."""
    query_log: Path | None = MonitorThresholds.query_log
    """Log of real queries (one a line, JSON lines, CSV or TSV, or a folder of JSON lines); null = those that
    `embedlib serve` logged (serve.log_share)."""
    drift_effect: float = Field(MonitorThresholds.drift_effect, gt=0, lt=1)
    """Energy coefficient (0 = same distribution, 1 = far apart) below which drift does not matter."""
    vocabulary_rise: float = Field(MonitorThresholds.vocabulary_rise, gt=0, lt=1)
    """Rise of the share of words unknown to the corpus, over the training queries', that counts."""
    corpus_share: float = Field(MonitorThresholds.corpus_share, gt=0, le=1)
    """Share of documents added, changed or removed since the release that counts as a changed corpus."""
    max_age_days: float = Field(MonitorThresholds.max_age_days, gt=0)
    """Age of the release that is remarked on."""
    votes: int = Field(MonitorThresholds.votes, ge=1, le=100)
    """Checks in which a signal has to fire ..."""
    window: int = Field(MonitorThresholds.window, ge=1, le=100)
    """... out of so many latest ones, before an event is emitted."""
    cooldown_s: int = Field(MonitorThresholds.cooldown_s, ge=0)
    """Time between two events of one name; doubled, up to eightfold, while retraining keeps the incumbent."""
    run_s: int = Field(MonitorThresholds.run_s, ge=60)
    """Time in which a run that took an event up has to end."""

    @model_validator(mode="after")
    def _window_holds_votes(self) -> Monitor:
        if self.votes > self.window:
            raise ValueError(f"votes ({self.votes}) cannot be more than window ({self.window})")
        return self
