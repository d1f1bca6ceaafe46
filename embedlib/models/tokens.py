"""Texts to token ids: one private tokenizer for a fixed maximum length, and batches of equal cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Ints = npt.NDArray[np.int64]
#: Characters after which a text is tokenized only as far as the model reads.
LONG = 200_000
#: Texts tokenized at once: bounds what is held between tokenizer and model.
WINDOW = 4096
#: Uncut texts counted at once.
COUNTED = 1024


class Tokens(NamedTuple):
    """Token ids of n texts, special tokens included, and how many texts were cut."""

    ids: list[list[int]]
    truncated: int

    @property
    def lengths(self) -> Ints:
        """Tokens per text, [n]."""
        return np.fromiter(map(len, self.ids), dtype=np.int64, count=len(self.ids))


class Tokenizing:
    """A copy of a model's fast tokenizer with truncation set and no padding.

    The copy can be used beside the model's own from another thread, and it tells which texts it cut.

    Args:
        tokenizer: A transformers fast tokenizer.
        max_length: Maximum tokens per text, special ones included; None for no limit.
    """

    def __init__(self, tokenizer: Any, max_length: int | None) -> None:
        from tokenizers import Tokenizer

        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_padding()
        self._backend.no_truncation()
        self._counting = Tokenizer.from_str(self._backend.to_str())
        if max_length is not None:
            self._backend.enable_truncation(max_length)
        self.max_length = max_length
        self.pad_id = tokenizer.pad_token_id or 0
        self.pads_left = tokenizer.padding_side == "left"
        self.takes_type_ids = "token_type_ids" in tokenizer.model_input_names

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Token ids of ``texts``, cut at the maximum length."""
        encodings = self._backend.encode_batch_fast([self._beginning(text) for text in texts])
        for i, text in enumerate(texts):
            if len(text) > LONG and not encodings[i].overflowing:
                encodings[i] = self._backend.encode_batch_fast([text])[0]
        return Tokens([e.ids for e in encodings], sum(1 for e in encodings if e.overflowing))

    def _beginning(self, text: str) -> str:
        """The part of a long text that is sure to fill the model, up to a space: the rest is cut anyway."""
        if self.max_length is None or len(text) <= LONG:
            return text
        end = text.rfind(" ", 0, LONG)
        return text[: end if end > 0 else LONG]

    def count(self, texts: Sequence[str]) -> Ints:
        """Tokens of each whole text, uncut, special tokens included, [n]."""
        counts = [
            len(encoding.ids)
            for start in range(0, len(texts), COUNTED)
            for encoding in self._counting.encode_batch_fast(list(texts[start : start + COUNTED]))
        ]
        return np.asarray(counts, dtype=np.int64)

    def features(self, ids: Sequence[Sequence[int]], device: Any) -> dict[str, Tensor]:
        """Padded model inputs, each [b, longest]: ids, mask, and type ids where the model takes them."""
        import torch

        longest = max(map(len, ids))
        table = np.full((len(ids), longest), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(ids), longest), dtype=np.int64)
        for row, values in enumerate(ids):
            where = slice(longest - len(values), None) if self.pads_left else slice(0, len(values))
            table[row, where], mask[row, where] = values, 1
        out = {"input_ids": torch.from_numpy(table), "attention_mask": torch.from_numpy(mask)}
        if self.takes_type_ids:
            out["token_type_ids"] = torch.zeros_like(out["input_ids"])
        return {name: value.to(device, non_blocking=True) for name, value in out.items()}


def tokenized_ahead(tokenizing: Tokenizing, texts: list[str]) -> Iterator[tuple[int, Tokens]]:
    """(start, tokens) of each window of texts, the next one tokenized while this one is used."""
    starts = range(0, len(texts), WINDOW)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(tokenizing, texts[:WINDOW])
        for start in starts:
            tokens = ahead.result()
            if start + WINDOW < len(texts):
                ahead = pool.submit(tokenizing, texts[start + WINDOW : start + 2 * WINDOW])
            yield start, tokens


def batches(lengths: Ints, budget: int) -> Iterator[Ints]:
    """Groups of texts of like length, longest first, whose padded size stays within a budget.

    A text longer than ``budget`` tokens makes a batch of its own.

    Yields:
        Indices into ``lengths``; every text is in exactly one batch.

    >>> [batch.tolist() for batch in batches(np.array([2, 9, 3, 1]), 6)]
    [[1], [2, 0], [3]]
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
