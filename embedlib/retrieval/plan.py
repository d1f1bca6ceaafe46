"""How a collection is searched: by vectors, by words, or by both fused."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["dense", "bm25", "hybrid"]

#: Weight of BM25's z-score beside the dense one's. Over 14 collections the mean nDCG@10 is flat between
#: .2 and .5 and highest here: .588, against .530 for dense alone and .558 for reciprocal rank fusion.
DEFAULT_WEIGHT = 0.3


class Feedback(BaseModel):
    """Pseudo-relevance feedback: the query moves towards the first documents of the fused ranking.

    q' = norm(alpha q + (1 - alpha) mean of the first ``documents`` vectors), then search and fuse again;
    only where the first ten of both rankings share a document. The vector form of Rocchio's method
    (Li et al., *Pseudo relevance feedback with deep language models*, TOIS 2023).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    documents: int = Field(2, ge=1, le=100)
    alpha: float = Field(0.7, ge=0, le=1)


class SearchPlan(BaseModel):
    """How queries are answered; a release records the plan that its decision chose.

    ``mode`` says which rankings are asked. The rest counts for ``hybrid`` only: ``fusion`` is the
    weighted sum of z-scores, z(dense) + weight * z(BM25) + sparse_weight * z(sparse), or reciprocal
    rank fusion, which has no weight; a sparse encoder is not asked where its weight is 0;
    ``feedback`` is None for one round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    mode: Mode = "dense"
    fusion: Literal["zscore", "rrf"] = "zscore"
    weight: float = Field(DEFAULT_WEIGHT, ge=0, allow_inf_nan=False)
    sparse_weight: float = Field(0.0, ge=0, allow_inf_nan=False)
    feedback: Feedback | None = None

    def without_sparse(self) -> SearchPlan:
        """The same where there is no sparse encoder."""
        return self.model_copy(update={"sparse_weight": 0.0})

    def __str__(self) -> str:
        """The plan in a few words, for tables."""
        if self.mode != "hybrid":
            return self.mode
        how = "reciprocal ranks" if self.fusion == "rrf" else f"BM25 weight {self.weight:g}"
        sparse = f", sparse weight {self.sparse_weight:g}" if self.sparse_weight else ""
        return f"hybrid ({how}{sparse}{', feedback' if self.feedback else ''})"


class TwoStagePlan(BaseModel):
    """How a reranker orders the first hits of a ranking anew: by first score + ``weight`` · its score.

    Only the first ``depth`` documents are read; each further one counts as the worst of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    depth: int = Field(ge=1)
    weight: float = Field(gt=0, allow_inf_nan=False)

    def __str__(self) -> str:
        """The plan in a few words, for tables."""
        return f"first {self.depth} re-ranked"


DENSE = SearchPlan(mode="dense")
BM25 = SearchPlan(mode="bm25")
HYBRID = SearchPlan(mode="hybrid")
