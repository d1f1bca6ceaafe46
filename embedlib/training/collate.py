"""From positions of examples to a batch's tensors, in the shape that the loss needs.

Letters: b examples, m distinct documents and k negatives per batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from embedlib.contracts import Floats, Rows
from embedlib.models.tokens import Tokenizing
from embedlib.training.data import TrainingSet

#: Entries of a relation matrix that are not a positive's weight; the same in ``inbatch``.
NEGATIVE, IGNORED = 0.0, -1.0

Preprocess = Callable[..., dict[str, Any]]


class DistillationTeacher(Protocol):
    """Scores queries against documents, higher is more relevant."""

    def targets(self, query_rows: Rows, doc_rows: Rows) -> Floats:
        """float32 [queries, documents], in the unit of the student's similarities."""
        ...


class ColumnTokenizer:
    """Tokenises queries and documents with the model's own prompts.

    Args:
        preprocess: The model's own way from texts to inputs.
        query: Prompt of queries.
        document: Prompt of documents.
        max_length: Maximum tokens of a text.
        plain: For a model that treats queries and documents alike (``is_plain_text``): its tokenizer.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        query: str = "",
        document: str = "",
        max_length: int | None = None,
        plain: Tokenizing | None = None,
    ) -> None:
        self.preprocess, self.query, self.document, self.plain = preprocess, query, document, plain
        self.limit = {"max_length": max_length} if max_length else {}

    def both(self, queries: Sequence[str], documents: Sequence[str]) -> dict[str, Any]:
        """The model's inputs for queries and then documents: one column, so one pass, where it can be."""
        if self.plain is None:
            asked = self.features("anchor", queries, query=True)
            return {**asked, **self.features("document", documents, query=False)}
        texts = [self.query + text for text in queries] + [self.document + text for text in documents]
        features = self.plain.features(self.plain(texts).ids, "cpu")
        return {f"text_{name}": value for name, value in features.items()}

    def features(self, column: str, texts: Sequence[str], *, query: bool) -> dict[str, Any]:
        """The model's inputs for one column of texts, each name behind ``column_``."""
        prompt = self.query if query else self.document
        features = self.preprocess(list(texts), prompt=prompt or None, **self.limit)
        return {f"{column}_{name}": value for name, value in features.items()}


class Collator:
    """What the library's trainer asks of a collator."""

    valid_label_columns: tuple[str, ...] = ()


class InBatchCollator(Collator):
    """A batch's queries, its distinct documents, and what each document is to each query.

    Args:
        data: The training set.
        tokenizer: Tokenises.
        teacher: When given, labels are its scores; otherwise they are relations (``inbatch``).
        rank: This process's number.
        world: Number of processes; each embeds its share of the queries and of the documents.
    """

    def __init__(
        self,
        data: TrainingSet,
        tokenizer: ColumnTokenizer,
        *,
        teacher: DistillationTeacher | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.data, self.tokenizer, self.teacher = data, tokenizer, teacher
        self.rank, self.world = rank, world
        self._text_ids = _identities(data.documents)

    def __call__(self, records: list[dict[str, int]]) -> dict[str, Any]:
        """Tensors of a batch; ``label`` is float32 [b / world, m]."""
        batch = np.asarray([record["index"] for record in records], dtype=np.int64)
        lengths = [len(self.data.queries[i]) for i in batch]
        mine = batch[np.argsort(lengths, kind="stable")][self.rank :: self.world]
        shares, repeated = self._documents(batch)
        texts = [self.data.documents[j] for j in shares[self.rank]]
        return {
            **self.tokenizer.both([self.data.queries[i] for i in mine], texts),
            "indices": torch.from_numpy(mine),
            "label": torch.from_numpy(self._labels(mine, np.concatenate(shares), np.concatenate(repeated))),
        }

    def _documents(self, batch: Rows) -> tuple[list[Rows], list[npt.NDArray[np.bool_]]]:
        """Each process's documents, equally many, by length; and which of them only fill up."""
        wanted = np.concatenate([self.data.positives[batch], self.data.negatives[batch].ravel()])
        distinct = np.unique(wanted[wanted >= 0])
        lengths = np.asarray([len(self.data.documents[j]) for j in distinct])
        ordered = distinct[np.argsort(lengths, kind="stable")]
        filled = np.resize(ordered, -(-len(ordered) // self.world) * self.world)
        extra = np.arange(len(filled)) >= len(ordered)
        parts = range(self.world)
        return [filled[r :: self.world] for r in parts], [extra[r :: self.world] for r in parts]

    def _labels(self, examples: Rows, documents: Rows, repeated: npt.NDArray[np.bool_]) -> Floats:
        if self.teacher is not None:
            rows = self.data.numbers[examples], self.data.rows[documents]
            scores = self.teacher.targets(*rows).astype(np.float32)
            scores[:, repeated] = -np.inf
            return scores
        relation = self._relation(examples, documents)
        relation[:, repeated] = IGNORED
        return relation

    def _relation(self, indices: Rows, documents: Rows) -> Floats:
        relation = np.zeros((len(indices), len(documents)), dtype=np.float32)
        rows, texts = self.data.rows[documents], self._text_ids[documents]
        for at, i in enumerate(indices):
            known = np.isin(rows, list(self.data.relevant[i])) | (documents == self.data.positives[i])
            relation[at, known | np.isin(texts, texts[known])] = 1.0
        return relation


def _identities(texts: Sequence[str]) -> Rows:
    """A number for each text, equal for equal texts."""
    numbers: dict[str, int] = {}
    return np.asarray([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)


class TupleCollator(Collator):
    """Columns anchor, positive, negative_1 … negative_k, for losses that compare within an example.

    Args:
        data: The training set; every example has at least ``negatives`` negatives.
        tokenizer: Tokenises.
        negatives: Number of negative columns.
        scored: Whether the label is the teacher's scores, float32 [b, 1 + k].
        rank: This process's number.
        world: Number of processes.
    """

    def __init__(
        self,
        data: TrainingSet,
        tokenizer: ColumnTokenizer,
        *,
        negatives: int,
        scored: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.data, self.tokenizer, self.negatives, self.scored = data, tokenizer, negatives, scored
        self.rank, self.world = rank, world

    def __call__(self, records: list[dict[str, int]]) -> dict[str, Any]:
        """Tensors of a batch."""
        mine = np.asarray([r["index"] for r in records], dtype=np.int64)[self.rank :: self.world]
        columns = [self.data.positives[mine], *self.data.negatives[mine, : self.negatives].T]
        batch = self.tokenizer.features("anchor", [self.data.queries[i] for i in mine], query=True)
        for number, documents in enumerate(columns):
            name = f"negative{number}" if number else "positive"
            batch |= self.tokenizer.features(name, [self.data.documents[j] for j in documents], query=False)
        batch["indices"] = torch.from_numpy(mine)
        if self.scored and self.data.teacher is not None:
            batch["label"] = torch.from_numpy(self.data.teacher[mine, : 1 + self.negatives])
        return batch


class PairCollator(Collator):
    """Columns query and document with a label: 1 for a positive, 0 for a negative.

    A position counts an example's positive and its negatives: ``example * (1 + k) + column``.

    Args:
        data: The training set.
        tokenizer: Tokenises.
        whole: Labels are integers (contrastive losses) rather than scores.
        rank: This process's number.
        world: Number of processes.
    """

    def __init__(
        self, data: TrainingSet, tokenizer: ColumnTokenizer, *, whole: bool, rank: int = 0, world: int = 1
    ) -> None:
        self.data, self.tokenizer, self.whole = data, tokenizer, whole
        self.rank, self.world = rank, world

    @staticmethod
    def positions(data: TrainingSet) -> list[int]:
        """Every pair's position."""
        present = np.concatenate([data.positives[:, None], data.negatives], axis=1) >= 0
        return np.flatnonzero(present.ravel()).tolist()

    def __call__(self, records: list[dict[str, int]]) -> dict[str, Any]:
        """Tensors of a batch."""
        mine = np.asarray([r["index"] for r in records], dtype=np.int64)[self.rank :: self.world]
        examples, columns = np.divmod(mine, 1 + self.data.negatives.shape[1])
        table = np.concatenate([self.data.positives[:, None], self.data.negatives], axis=1)
        texts = [self.data.documents[j] for j in table[examples, columns]]
        label = torch.from_numpy(columns == 0)
        return {
            **self.tokenizer.features("anchor", [self.data.queries[i] for i in examples], query=True),
            **self.tokenizer.features("document", texts, query=False),
            "indices": torch.from_numpy(examples),
            "label": label.long() if self.whole else label.float(),
        }
