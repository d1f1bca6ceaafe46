"""Options of the reranker: its training, and when it is served."""

from __future__ import annotations

from embedlib.config.base import OPERATIONAL, Field, Section, SilenceLimit, TimeLimit, TrainingPrecision
from embedlib.config.evaluation import Decide

#: Starts that are models of the run.
OWN = ("base", "served")


class Rerank(Section):
    """A cross-encoder that orders the first hits anew, served where the answer is proven better by it."""

    start: str | None = None
    """What a reranker is trained from: ``served``: the model that goes live; ``base``: the base model; or an
    encoder or a cross-encoder by name or folder. null: no reranker is trained."""
    epochs: float = Field(default=1.0, gt=0, le=100)
    """Passes over the mined examples."""
    max_tokens: int | None = Field(default=1_000_000, ge=1000)
    """Upper bound of the tokens of all steps, which is minutes on two cores; null: none."""
    batch_size: int = Field(default=16, ge=2, le=4096)
    """Lists a step, each a query with its positive and its negatives."""
    negatives: int = Field(default=3, ge=1, le=1000)
    """Negatives of an example that are used, at most."""
    max_length: int = Field(default=192, ge=8, le=8192)
    """Tokens of query and document together that the reranker reads; the rest is cut."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    """Peak learning rate."""
    precision: TrainingPrecision = "auto"
    depth: int = Field(default=50, ge=1, le=1000)
    """Hits that are read a query, at most: the least depth within noise of the best on dev is served."""
    latency_ms: float = Field(default=500.0, gt=0)
    """Time that re-ranking may take a query, measured here: 95 of 100 queries take less."""
    checkpoint_s: float = Field(default=60.0, ge=0, json_schema_extra=OPERATIONAL)
    """Seconds between checkpoints; a killed run goes on from the last one."""
    timeout_s: TimeLimit = None
    stall_s: SilenceLimit = 1800

    @property
    def named(self) -> bool:
        """Whether it starts from a model by name or folder."""
        return self.start is not None and self.start not in OWN

    @property
    def training(self) -> Rerank:
        """The same without what does not change the weights: they are not trained anew for another depth."""
        fields = type(self).model_fields
        served = {name: fields[name].default for name in ("depth", "latency_ms")}
        return self.model_copy(update=served if self.named else {**served, "start": None})


class Reranking(Section):
    """When a reranker is served."""

    depth: int
    """Most hits read a query."""
    latency_ms: float
    """Most time a query, of 95 of 100."""
    decide: Decide
    """What it must show, as for a model."""
