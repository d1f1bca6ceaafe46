"""Checks of how the tokenizer meets the corpus: vocabulary gap, truncation, padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from embedlib.doctor.findings import Finding, fine, warning
from embedlib.monitoring.drift import words

Ints = npt.NDArray[np.int64]

#: Word pieces a word: about 1.2 for newspaper English with a BERT vocabulary.
FERTILITY, SHATTERED = 2.0, 0.1
PIECES_SHATTERED = 4
UNKNOWN = 0.01
TRUNCATED = 0.1
WASTE = 0.5


def check_vocabulary(
    texts: Sequence[str], tokenize: Callable[[str], Sequence[str]], unknown: str | None
) -> Finding:
    """Are the corpus's words words to the model, or shattered into pieces?

    Args:
        texts: A sample of documents.
        tokenize: Word pieces of a text, without special tokens.
        unknown: The piece that stands for what the vocabulary lacks, None when there is none.
    """
    counts: dict[str, int] = {}
    for text in texts:
        for word in words(text):
            counts[word] = counts.get(word, 0) + 1
    total = sum(counts.values())
    if not total:
        return fine("vocabulary", "the sample has no words", texts=len(texts))
    pieces = {word: list(tokenize(word)) for word in counts}
    fertility = sum(len(pieces[w]) * n for w, n in counts.items()) / total
    shattered = {w: n for w, n in counts.items() if len(pieces[w]) >= PIECES_SHATTERED}
    lost = sum(n for w, n in counts.items() if unknown is not None and unknown in pieces[w])
    broken = sum(shattered.values()) / total
    evidence = {
        "word pieces a word": fertility,
        "share of words in four pieces or more": broken,
        "share unknown": lost / total,
        "examples": sorted(shattered, key=lambda w: -shattered[w])[:8],
    }
    if fertility > FERTILITY or broken > SHATTERED:
        return warning(
            "vocabulary",
            "the model's vocabulary does not know this domain: its words are shattered into pieces",
            "embedlib run --set adapt.method=mlm, or another base model (embedlib recommend)",
            **evidence,
        )
    if lost / total > UNKNOWN:
        return warning(
            "vocabulary",
            "words or characters that the model cannot see at all",
            "choose a base model with a byte-level or multilingual vocabulary: --set model.name=…",
            **evidence,
        )
    return fine("vocabulary", "the model's vocabulary fits the corpus", **evidence)


def check_truncation(lengths: Ints, max_length: int | None) -> Finding:
    """Is more than a tenth of the documents cut off, by their word pieces [n]?"""
    cut = float(np.mean(lengths > max_length)) if max_length and len(lengths) else 0.0
    evidence = {"share of documents cut": cut, "model sees": max_length, "documents": len(lengths)}
    if len(lengths):
        evidence["95th percentile"] = float(np.quantile(lengths, 0.95))
    if cut > TRUNCATED:
        return warning(
            "truncation",
            "the end of many documents is never seen by the model",
            "embedlib run --set ingest.chunk.max_tokens=200",
            **evidence,
        )
    return fine("truncation", "the model sees (nearly) whole documents", **evidence)


def padding_waste(lengths: Ints, batch_size: int, rng: np.random.Generator) -> float:
    """Share of a training batch that is padding when texts are batched at random, mean over batches.

    ``lengths`` [n] are the texts' word pieces, cut at the model's limit.
    """
    order = rng.permutation(lengths)
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    padded = sum(int(b.max()) * len(b) for b in batches)
    return 1 - float(lengths.sum()) / padded if padded else 0.0


def check_padding(lengths: Ints, batch_size: int, rng: np.random.Generator) -> Finding:
    """Is most of what a training step computes padding?"""
    waste = padding_waste(lengths, batch_size, rng)
    evidence = {
        "share of padding": waste,
        "median": float(np.median(lengths)),
        "longest": int(lengths.max()),
        "batch": batch_size,
    }
    shorter = int(np.quantile(lengths, 0.95))
    if waste > WASTE and shorter < lengths.max():
        return warning(
            "padding",
            "a few long documents make every batch long: most of a training step is padding",
            f"embedlib run --set model.max_length={shorter} (95% of the texts fit), or smaller chunks",
            **evidence,
        )
    return fine("padding", "little of a training batch is padding", **evidence)
