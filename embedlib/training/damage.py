"""Texts with tokens masked or words deleted, for adaptation.

Letters: b texts per batch, t tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from embedlib.errors import ModelError
from embedlib.training.collate import Collator
from embedlib.training.heads import UNCOUNTED

#: Shares of a text's tokens that are masked, and of its words that are deleted.
MASKED, DELETED = 0.15, 0.6


def mask_tokens(
    ids: Tensor, special: Tensor, *, mask_id: int, vocabulary: int, share: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Choose tokens to guess: 80% become the mask, 10% a random token, 10% stay (BERT, arXiv 1810.04805).

    Args:
        ids: Token ids, int64 [b, t].
        special: Whether a token is special or padding, [b, t].
        mask_id: Id of the mask token.
        vocabulary: Number of tokens.
        share: Share of the other tokens to guess; at least one a batch.
        rng: Source of randomness.

    Returns:
        Ids with masks, and labels: the old id where it is to be guessed, else UNCOUNTED.
    """
    allowed = ~special.bool().numpy()
    chosen = (rng.random(ids.shape) < share) & allowed
    if not chosen.any() and allowed.any():
        chosen.flat[rng.choice(np.flatnonzero(allowed))] = True
    kind = rng.random(ids.shape)
    masked = ids.numpy().copy()
    masked[chosen & (kind < 0.8)] = mask_id
    random = chosen & (kind >= 0.8) & (kind < 0.9)
    masked[random] = rng.integers(0, vocabulary, int(random.sum()))
    labels = np.where(chosen, ids.numpy(), UNCOUNTED)
    return torch.from_numpy(masked), torch.from_numpy(labels)


def delete_words(text: str, share: float, rng: np.random.Generator) -> str:
    """Delete each word with probability ``share``, but never all of them (TSDAE, section 3.1)."""
    words = text.split()
    if len(words) < 2:
        return text
    kept = rng.random(len(words)) >= share
    if not kept.any():
        kept[rng.integers(len(words))] = True
    return " ".join(word for word, keep in zip(words, kept, strict=True) if keep)


class MaskingCollator(Collator):
    """Texts with masked tokens; what is masked depends on the text and the epoch's step alone.

    Args:
        texts: All texts.
        model: Tokenises.
        seed: Seed.
    """

    def __init__(self, texts: Sequence[str], model: SentenceTransformer, *, seed: int) -> None:
        self.texts, self.model, self.seed = texts, model, seed
        tokenizer = model.tokenizer
        if tokenizer.mask_token_id is None:
            raise ModelError("this model has no mask token", remedy="use adapt.method=tsdae")
        self.special = torch.tensor(sorted(tokenizer.all_special_ids))
        self.mask_id, self.vocabulary = int(tokenizer.mask_token_id), len(tokenizer)

    def __call__(self, records: list[dict[str, int]]) -> dict[str, Any]:
        """Tensors of a batch."""
        indices = [record["index"] for record in records]
        features = self.model.preprocess([self.texts[i] for i in indices])
        ids = features["input_ids"]
        masked, labels = mask_tokens(
            ids,
            torch.isin(ids, self.special),
            mask_id=self.mask_id,
            vocabulary=self.vocabulary,
            share=MASKED,
            rng=np.random.default_rng([self.seed, *indices]),
        )
        named = {f"text_{name}": value for name, value in {**features, "input_ids": masked}.items()}
        return {**named, "indices": torch.tensor(indices), "label": labels}


class DamagingCollator(Collator):
    """Damaged and whole texts.

    Args:
        texts: All texts.
        model: Tokenises.
        seed: Seed.
    """

    def __init__(self, texts: Sequence[str], model: SentenceTransformer, *, seed: int) -> None:
        self.texts, self.model, self.seed = texts, model, seed

    def __call__(self, records: list[dict[str, int]]) -> dict[str, Any]:
        """Tensors of a batch."""
        indices = [record["index"] for record in records]
        rng = np.random.default_rng([self.seed, *indices])
        whole = [self.texts[i] for i in indices]
        damaged = [delete_words(text, DELETED, rng) for text in whole]
        batch: dict[str, Any] = {"indices": torch.tensor(indices)}
        for column, texts in (("damaged", damaged), ("whole", whole)):
            batch |= {f"{column}_{k}": v for k, v in self.model.preprocess(texts).items()}
        return batch
