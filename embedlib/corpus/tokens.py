"""Counting tokens with the model's own tokenizer, without loading the model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from embedlib.errors import ModelError

#: Characters that are tokenized at once.
WINDOW = 1_000_000
_TOKENIZERS = ("tokenizer.json", "0_Transformer/tokenizer.json")
_LIMITS = (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"))


class TokenCounter:
    """Tokens of texts as the model will see them, special tokens included."""

    def __init__(self, folder: Path) -> None:
        path = next((folder / name for name in _TOKENIZERS if (folder / name).is_file()), None)
        if path is None:
            raise ModelError(
                "no tokenizer.json in the model's folder",
                where=str(folder),
                remedy="name a model with a fast tokenizer in ingest.tokenizer",
            )
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.limit = _limit(folder)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens included; a long text is counted in pieces.

        A tokenizer takes some hundred bytes a character, so that no more than ``WINDOW`` characters are
        given to it at once.
        """
        counts: list[int] = []
        batch: list[str] = []
        weight = 0
        for text in texts:
            if weight + len(text) > WINDOW:
                counts += self._count(batch)
                batch, weight = [], 0
            if len(text) > WINDOW:
                inner = sum(n - self.special for part in pieces(text, WINDOW) for n in self._count([part]))
                counts.append(inner + self.special)
            else:
                batch.append(text)
                weight += len(text)
        return counts + self._count(batch)

    def _count(self, texts: list[str]) -> list[int]:
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(texts)]

    @property
    def special(self) -> int:
        """Special tokens added to each text."""
        return int(self._tokenizer.num_special_tokens_to_add(False))


def pieces(text: str, size: int) -> Iterator[str]:
    """``text`` in parts of at most ``size`` characters, parted at a space where there is one.

    >>> list(pieces("aa bb cccccc", 4))
    ['aa', ' bb', ' ccc', 'ccc']
    """
    start = 0
    while len(text) - start > size:
        end = text.rfind(" ", start + 1, start + size)
        end = end if end > 0 else start + size
        yield text[start:end]
        start = end
    yield text[start:]


def tokenizer_files(folder: Path) -> list[str]:
    """Names of the files that decide how a model's texts are counted and cut, those that there are."""
    names = (*_TOKENIZERS, *(name for name, _ in _LIMITS))
    return [name for name in names if (folder / name).is_file()]


def _limit(folder: Path) -> int | None:
    """Longest input in tokens: sentence-transformers' own setting, else the tokenizer's."""
    for name, key in _LIMITS:
        path = folder / name
        if path.is_file():
            value = json.loads(path.read_text(encoding="utf-8")).get(key)
            if isinstance(value, int) and value < 1_000_000:
                return value
    return None
