"""A loss's batches: which examples share one, and what tensors they become."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedlib.models.loading import is_plain_text
from embedlib.models.local import LocalEncoder
from embedlib.models.tokens import Tokenizing
from embedlib.training.collate import (
    ColumnTokenizer,
    DistillationTeacher,
    InBatchCollator,
    PairCollator,
    TupleCollator,
)
from embedlib.training.data import TrainingSet
from embedlib.training.losses import LOSSES, negative_columns
from embedlib.training.options import World
from embedlib.training.sampler import ExampleBatches


@dataclass(frozen=True)
class Batches:
    """Positions to train on, how they are grouped, and how a group becomes tensors.

    Args:
        positions: Value of each item's ``index``.
        sampler: Groups items.
        collate: Makes tensors of a group.
        tokens: Tokens of each item, documents included, int64 [items].
    """

    positions: list[int]
    sampler: ExampleBatches
    collate: Callable[[list[dict[str, int]]], dict[str, Any]]
    tokens: npt.NDArray[np.int64]

    @property
    def step_tokens(self) -> int:
        """Tokens of a large step: the mean of its items and two standard deviations."""
        size = min(self.sampler.batch_size, len(self.tokens))
        return int(size * self.tokens.mean() + 2 * np.sqrt(size) * self.tokens.std())

    def longest(self, limit: int) -> int:
        """Tokens of a long text, at most ``limit``: no text is longer than its item."""
        return min(limit, int(self.tokens.max()))

    @property
    def mean_step_tokens(self) -> float:
        """Tokens of a mean step."""
        return float(min(self.sampler.batch_size, len(self.tokens)) * self.tokens.mean())


def make_batches(  # noqa: PLR0913 (each is a choice of its own)
    loss: str,
    data: TrainingSet,
    encoder: LocalEncoder,
    *,
    batch_size: int,
    seed: int,
    teacher: DistillationTeacher | None = None,
    per_query: int | None = None,
    max_length: int | None = None,
    world: World = World(),  # noqa: B008 (immutable)
) -> Batches:
    """Batches for a loss.

    Args:
        loss: Loss name.
        data: Examples that fit the loss.
        encoder: Gives prompts and tokens.
        batch_size: Examples a step over all processes.
        seed: Seed of the order.
        teacher: Scores any query and document, for the loss "kl".
        per_query: Maximum examples of one query per epoch.
        max_length: Tokens of a text that training reads; None is what the model reads.
        world: The processes.
    """
    limit = min(max_length or 1 << 30, encoder.max_length or 1 << 30)
    prompts = encoder.prompts
    plain = Tokenizing(encoder.tokenizer, limit) if is_plain_text(encoder.module) else None
    tokenizer = ColumnTokenizer(
        encoder.module.preprocess, prompts.query, prompts.document, max_length and limit, plain
    )
    split = {"rank": world.rank, "world": world.size}
    shape = LOSSES[loss].shape
    positions, keys = list(range(len(data))), example_keys(data)
    tokens = _example_tokens(data, encoder, data.negatives.shape[1], limit)
    collate: Callable[[list[dict[str, int]]], dict[str, Any]]
    if shape == "in-batch":
        collate = InBatchCollator(data, tokenizer, teacher=teacher if loss == "kl" else None, **split)
    elif shape == "tuple":
        columns = min(negative_columns(data), LOSSES[loss].most_negatives)
        tokens = _example_tokens(data, encoder, columns, limit)
        collate = TupleCollator(data, tokenizer, negatives=columns, scored=loss == "margin-mse", **split)
    else:
        whole = loss in ("contrastive", "online-contrastive")
        collate = PairCollator(data, tokenizer, whole=whole, **split)
        positions = PairCollator.positions(data)
        keys, per_query = [(position,) for position in positions], None
        tokens = np.full(len(positions), max(1, int(tokens.sum() / len(positions))))
    sampler = ExampleBatches(keys, batch_size=batch_size, seed=seed, world=world.size, per_query=per_query)
    return Batches(positions, sampler, collate, tokens)


def example_keys(data: TrainingSet) -> list[tuple[Hashable, ...]]:
    """What must not stand twice in a batch: an example's query and its positive's text."""
    return [(q, data.documents[p]) for q, p in zip(data.queries, data.positives, strict=True)]


def _example_tokens(
    data: TrainingSet, encoder: LocalEncoder, negatives: int, limit: int
) -> npt.NDArray[np.int64]:
    queries = np.minimum(encoder.count_tokens(data.queries), limit)
    documents = np.minimum(encoder.count_tokens(data.documents), limit)
    columns = data.negatives[:, :negatives]
    others = np.where(columns >= 0, documents[columns], 0).sum(axis=1) if columns.size else 0
    return np.asarray(queries + documents[data.positives] + others, dtype=np.int64)
