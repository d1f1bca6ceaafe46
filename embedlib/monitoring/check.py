"""One check of the live release: look, remember, and say what should follow."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np

from embedlib.contracts import Corpus, Judgements, read_judgements
from embedlib.disk import write_atomic
from embedlib.errors import DataError, EmbedlibError, UserError, first_line
from embedlib.monitoring import signals
from embedlib.monitoring.canaries import (
    Baseline,
    choose_canaries,
    compare_canaries,
    found_canaries,
    score_labels,
)
from embedlib.monitoring.drift import energy_test, out_of_vocabulary, vocabulary
from embedlib.monitoring.history import Check, History, Signal
from embedlib.monitoring.live import LiveRelease
from embedlib.monitoring.logs import read_labels, read_query_log
from embedlib.monitoring.triggers import MonitorThresholds

logger = logging.getLogger(__name__)

#: Documents whose words make the known vocabulary.
VOCABULARY_DOCUMENTS = 20_000
LABELS_READ = 5_000
#: First hits among which a canary's document has to be.
CANARY_K = 10
#: Queries of the log and of the training that drift is looked for in.
DRIFT_SAMPLE = 500


class Observer:
    """Looks at one release; each ``look_*`` returns signals and adds to figures and notes."""

    def __init__(
        self,
        live: LiveRelease,
        limits: MonitorThresholds,
        history: History,
        *,
        now: datetime,
        rng: np.random.Generator,
    ) -> None:
        self.live, self.limits, self.history, self.now, self.rng = live, limits, history, now, rng
        self.corpus = Corpus(live.corpus)
        self.known_ids = {*self.corpus.ids, *self.corpus.column("group_id")}
        self.figures: dict[str, float] = {}
        self.notes: list[str] = []

    def check(self, fresh_corpus: Path | None = None) -> Check:
        """Everything that can be looked at, as one record; what fails to be looked at becomes a note.

        Args:
            fresh_corpus: Corpus artifact of the sources as they are now; None = not compared.
        """
        found: list[Signal] = []
        looks: list[Callable[[], Iterable[Signal]]] = [
            self.look_at_files,
            self.look_at_canaries,
            self.look_at_labels,
            self.look_at_queries,
            lambda: self.look_at_corpus(fresh_corpus),
        ]
        for look in looks:
            try:
                found += look()
            except UserError as error:
                logger.warning("%s", error)
                self.notes.append(str(error))
            except EmbedlibError as error:  # the release itself fails to answer
                logger.warning("%s", error)
                found = [s for s in found if s.name != "index"] + [signals.index_signal(str(error))]
        self.figures.update({s.name: s.value for s in found})
        return Check(
            at=self.now,
            release=self.live.number,
            model=self.live.model_digest,
            signals=found,
            figures=self.figures,
            notes=self.notes,
        )

    def look_at_files(self) -> list[Signal]:
        """Are the release's files whole, and how old is it?"""
        age = (self.now - self.live.published_at) / timedelta(days=1)
        self.figures["documents"] = float(len(self.corpus))
        return [signals.index_signal(self.live.damage()), signals.age_signal(age, self.limits.max_age_days)]

    def look_at_canaries(self) -> list[Signal]:
        """Are the queries with known answers still answered as when the model was first released?"""
        baseline = ensure_baseline(self.live, self.history, self.limits, self.known_ids, self.rng)
        if baseline is None:
            self.notes.append("no judged query with a document in the corpus: no canaries")
            return []
        now = found_canaries(self.live.search, baseline.canaries, baseline.k)
        result = compare_canaries(baseline, now, self.known_ids)
        if result is None:
            self.notes.append("no canary's answer is left in the corpus")
            return []
        return [signals.canary_signal(result, baseline.k, self.limits.canary_drop)]

    def look_at_labels(self) -> list[Signal]:
        """Does the release keep on fresh labels what its test promised?"""
        if self.limits.labels is None or not self.limits.labels.exists():
            return []
        labels = read_labels(self.limits.labels, LABELS_READ)
        interval = score_labels(self.live.search, labels, self.known_ids, self.rng)
        if interval is None:
            self.notes.append("no fresh label names a document of the live corpus")
            return []
        self.figures["labelled queries"] = float(interval.n)
        promised = self.live.test_score
        if promised is None:
            self.figures["labels"] = interval.mean
            self.notes.append("the release has no figure on test queries to compare fresh labels with")
            return []
        return [signals.label_signal(interval, promised, self.limits.labels_drop, self.limits.labels_min)]

    def look_at_queries(self) -> list[Signal]:
        """Do people ask what the model was trained for, in words that the corpus knows?"""
        log, queries = self.limits.query_log, self.live.queries
        if log is None or not log.exists() or queries is None:
            return []
        recent = read_query_log(log, DRIFT_SAMPLE)
        reference = self._sample(training_queries(queries), DRIFT_SAMPLE)
        if min(len(recent), len(reference)) < 20:
            self.notes.append(
                f"{len(recent)} logged and {len(reference)} training queries: too few for drift"
            )
            return []
        encode = self.live.encode_queries
        drift = energy_test(encode(reference), encode(recent), rng=self.rng)
        self.figures["drift p-value"] = drift.p_value
        known = vocabulary(islice(self.corpus.texts(), VOCABULARY_DOCUMENTS))
        shares = out_of_vocabulary(recent, known), out_of_vocabulary(reference, known)
        return [
            signals.drift_signal(drift, self.limits.drift_effect),
            signals.vocabulary_signal(*shares, self.limits.vocabulary_rise),
        ]

    def look_at_corpus(self, fresh_corpus: Path | None) -> list[Signal]:
        """How far have the sources moved from the released corpus?"""
        if fresh_corpus is None:
            return []
        before, after = (
            dict(zip(corpus.ids, corpus.column("content_hash"), strict=True))
            for corpus in (self.corpus, Corpus(fresh_corpus))
        )
        return [signals.corpus_signal(before, after, self.limits.corpus_share)]

    def _sample(self, texts: Sequence[str], count: int) -> list[str]:
        chosen = self.rng.permutation(len(texts))[:count]
        return [texts[i] for i in sorted(chosen.tolist())]


def training_queries(folder: Path) -> list[str]:
    """Queries that the release's model was trained for: the train split, or dev where there is none."""
    for split in ("train", "dev"):
        texts = list(read_judgements(folder, split).queries.values())
        if texts:
            return texts
    return []


def ensure_baseline(
    live: LiveRelease,
    history: History,
    limits: MonitorThresholds,
    known_ids: set[str],
    rng: np.random.Generator,
) -> Baseline | None:
    """The canary baseline of the live model: taken when it is first released, then read back.

    A refresh keeps the model and how it is searched, so its release is measured against the same baseline.

    Returns:
        None when the release has no judged query with a document in its corpus.

    Raises:
        DataError: The baseline's file is not what was written.
    """
    how = "-".join(re.findall(r"[\w.]+", live.search_mode))
    path = history.folder / f"baseline-{live.model_digest}-{how}.json"
    if path.is_file():
        try:
            return Baseline.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise DataError(
                "the canary baseline cannot be read",
                where=str(path),
                found=first_line(error),
                remedy="delete the file; the next check takes a new baseline",
            ) from error
    canaries = choose_canaries(_judged(live.queries), known_ids, limits.canaries, rng)
    if not canaries:
        return None
    found = found_canaries(live.search, canaries, CANARY_K)
    baseline = Baseline(
        model=live.model_digest, release=live.number, k=CANARY_K, found=found, canaries=canaries
    )
    history.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, baseline.model_dump_json(indent=1))
    return baseline


def _judged(queries: Path | None) -> Judgements:
    """Judged queries of dev, or of test where there is no dev (canaries train and choose nothing)."""
    if queries is not None:
        for split in ("dev", "test"):
            judgements = read_judgements(queries, split)
            if judgements.qrels:
                return judgements
    return Judgements({}, {}, {}, {})
