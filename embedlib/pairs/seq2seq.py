"""Queries written by a T5-style model: doc2query (arXiv 1904.08375), as GPL uses it (arXiv 2112.07577)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedlib.contracts import CandidatePair
from embedlib.errors import ModelError, first_line
from embedlib.models.loading import missing_weights, require_weights
from embedlib.models.resolve import resolve_model
from embedlib.progress import Progress

#: Documents whose queries are written to disk together; what a killed run can lose.
SHARD = 256
#: As GPL draws: tokens and probability mass drawn from, and tokens of a document that are read.
TOP_K, TOP_P, MAX_INPUT_TOKENS = 25, 0.95, 350


@dataclass(frozen=True)
class QuerySampling:
    """How queries are drawn from the model.

    ``count`` queries a document of at most ``max_query_tokens``, ``batch_size`` documents at once, each after
    ``prompt``.
    """

    count: int
    max_query_tokens: int
    batch_size: int
    prompt: str = ""
    seed: int = 0


class QueryWriter:
    """A seq2seq model that writes queries.

    Args:
        name_or_path: A T5-style model's name or folder.

    Raises:
        ModelError: It cannot be loaded as such.
    """

    def __init__(self, name_or_path: str | Path) -> None:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        folder = resolve_model(name_or_path)
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            model, loaded = AutoModelForSeq2SeqLM.from_pretrained(folder, output_loading_info=True)
        except (OSError, ValueError) as error:
            raise ModelError(
                "this query generator cannot be loaded",
                where=str(name_or_path),
                found=first_line(error),
                remedy="give a T5-style (sequence-to-sequence) model",
            ) from error
        remedy = "give a model that was trained to write queries, not an encoder"
        require_weights(missing_weights(loaded), str(name_or_path), remedy)
        self.model: Any = model.eval()

    def write(self, texts: Sequence[str], sampling: QuerySampling, seed: int) -> list[list[str]]:
        """Sample queries for each text; the same seed gives the same queries on the same machine."""
        import torch

        inputs = self.tokenizer(
            [sampling.prompt + text for text in texts],
            max_length=MAX_INPUT_TOKENS,
            truncation=True,
            padding=True,
            return_tensors="pt",
        )
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed)
            out = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=True,
                top_k=TOP_K,
                top_p=TOP_P,
                max_new_tokens=sampling.max_query_tokens,
                num_return_sequences=sampling.count,
            )
        queries = self.tokenizer.batch_decode(out, skip_special_tokens=True)
        n = sampling.count
        return [[" ".join(q.split()) for q in queries[i * n : (i + 1) * n]] for i in range(len(texts))]


def generated_pairs(
    documents: Iterable[tuple[str, str]],
    writer: QueryWriter,
    sampling: QuerySampling,
    scratch: Path,
    progress: Progress,
) -> Iterator[CandidatePair]:
    """Pairs of origin ``seq2seq``; finished shards are read back from ``scratch`` after a crash."""
    scratch.mkdir(parents=True, exist_ok=True)
    remaining = iter(documents)
    for number in itertools.count():
        shard = list(itertools.islice(remaining, SHARD))
        if not shard:
            return
        path = scratch / f"shard-{number:06d}.json"
        if not path.is_file():
            queries = _write_shard(shard, number, writer, sampling)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(queries, ensure_ascii=False), encoding="utf-8")
            temporary.replace(path)
        written = json.loads(path.read_text(encoding="utf-8"))
        for (doc_id, _), texts in zip(shard, written, strict=True):
            for i, query in enumerate(dict.fromkeys(filter(None, texts))):
                yield CandidatePair(f"seq2seq:{doc_id}:{i}", query, doc_id, "seq2seq")
        progress(number * SHARD + len(shard), None, "documents with generated queries")


def _write_shard(
    shard: Sequence[tuple[str, str]], number: int, writer: QueryWriter, sampling: QuerySampling
) -> list[list[str]]:
    queries: list[list[str]] = []
    for start in range(0, len(shard), sampling.batch_size):
        texts = [text for _, text in shard[start : start + sampling.batch_size]]
        seed = (sampling.seed * 1_000_003 + number * SHARD + start) % 2**63
        queries += writer.write(texts, sampling, seed)
    return queries
