"""Whether the hybrid of BM25 and the base model may teach: not where it is clearly worse on dev."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embedlib.contracts import Floats
from embedlib.evaluation.dev import DevSet
from embedlib.models.encoder import Encoder
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.fusion import fused_scores
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.moments import Moments
from embedlib.retrieval.plan import DEFAULT_WEIGHT

#: Mean dev nDCG@10 by which the hybrid may lie behind: it teaches more than its own ranking, such as
#: how relevant a query's other candidates are, and dev figures differ by chance.
TOLERANCE = 0.01
#: Hits per query: more than enough for ten, whatever is left out as a query's own text.
DEPTH = 100


class TeacherCheck(NamedTuple):
    """Mean dev nDCG@10 of the student as it is and of the hybrid that would teach it."""

    student: float
    hybrid: float
    queries: int

    @property
    def may_teach(self) -> bool:
        """Whether the teacher ranks no worse than the student, within ``TOLERANCE``."""
        return self.hybrid >= self.student - TOLERANCE


def check_teacher(dev: DevSet, encoder: Encoder, documents: Floats) -> TeacherCheck:
    """Rank a dev set by the model and by the fused score (``embedlib.retrieval.fusion``).

    Args:
        dev: Queries and a small corpus, n documents.
        encoder: The base model.
        documents: Its vectors of these documents, float32 [n, d].

    Raises:
        DataError: No document has a word.
    """
    dense = encoder.encode_queries(dev.query_texts) @ documents.T  # [q, n]
    bm25 = build_bm25(dev.doc_texts)
    lexical = np.stack([bm25.scores(text) for text in dev.query_texts])
    both = fused_scores(dense, lexical, Moments.of(dense), Moments.of(lexical), DEFAULT_WEIGHT)
    student, hybrid = (float(dev.values(_ranked(scores)).mean()) for scores in (dense, both))
    return TeacherCheck(student, hybrid, len(dev.query_ids))


def _ranked(scores: Floats) -> Hits:
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH].astype(np.int64)
    return Hits(rows, np.take_along_axis(scores, rows, axis=1))
