"""What encoding a corpus will take, measured on a sample before it is spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.contracts import Corpus
from embedlib.index.encode import Encoding, encode_shard, pending_rows, shard_of
from embedlib.models.api import ApiEncoder
from embedlib.models.api_protocols import estimate_tokens
from embedlib.models.opening import open_folder
from embedlib.store import Store

#: Documents that are measured, at most: their mean length is within a few percent of all documents'.
SAMPLE = 2048
#: Documents encoded before the clock starts: the first batches are slower.
WARM_UP = 128


@dataclass(frozen=True)
class EncodingEstimate:
    """Work that encoding will be.

    Args:
        documents: Of the corpus.
        pending: Of them, those without a vector: distinct contents that would be encoded.
        tokens: Of the pending ones, as far as the model reads them; behind an API a cautious count; None
            of a model that does not count them, such as a static one.
        documents_per_s: Reached on this machine; None behind an API, which is not asked for an estimate.
        seconds: To encode the pending ones here; None behind an API.
        vector_bytes: Of all documents' vectors on disk; None behind an API, whose dimension is not known yet.
        dollars: What the pending ones cost at the API's price; None without one.
    """

    documents: int
    pending: int
    tokens: int | None
    documents_per_s: float | None = None
    seconds: float | None = None
    vector_bytes: int | None = None
    dollars: float | None = None


def estimate_encoding(
    store: Store, corpus: ArtifactRef, encoding: Encoding, *, sample: int = SAMPLE
) -> EncodingEstimate:
    """Estimate the encoding of what a corpus has no vectors for.

    A local model encodes a random sample. The sample's vectors stay in the store, so that the work
    is not done twice. An API is sent nothing.

    Raises:
        ModelError: The model cannot be loaded.
    """
    pending = pending_rows(store, corpus.path, encoding)
    documents = Corpus(corpus.path)
    chosen = np.sort(np.random.default_rng(0).permutation(pending)[:sample])
    texts = documents.texts_at(chosen)
    encoder = open_folder(encoding.model, encoding.precision)
    if isinstance(encoder, ApiEncoder):
        return _behind_api(encoder, texts, len(documents), len(pending))
    tokens = seconds = 0.0
    if texts:
        encoder.encode_documents(texts[:WARM_UP])
        done = encode_shard(store, shard_of(corpus.path, encoding, chosen), encoder=encoder).ref
        times = len(pending) / len(texts)
        tokens, seconds = (done.manifest.summary[name] * times for name in ("tokens", "encode_s"))
    return EncodingEstimate(
        documents=len(documents),
        pending=len(pending),
        tokens=None if pending.size and not tokens else round(tokens),
        documents_per_s=round(len(pending) / seconds, 1) if seconds else None,
        seconds=round(seconds, 1),
        vector_bytes=len(documents) * encoder.dimension * np.dtype(encoding.dtype).itemsize,
    )


def _behind_api(encoder: ApiEncoder, texts: list[str], documents: int, pending: int) -> EncodingEstimate:
    tokens = round(sum(map(estimate_tokens, texts)) / max(len(texts), 1) * pending)
    price = encoder.client.settings.price
    dollars = None if price is None else round(tokens * price.input_per_million / 1e6, 4)
    return EncodingEstimate(documents, pending, tokens, dollars=dollars)
