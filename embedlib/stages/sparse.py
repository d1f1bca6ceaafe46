"""Stage ``sparse``: the corpus as a sparse encoder's term weights, only what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.config.models import Sparse
from embedlib.contracts import Corpus
from embedlib.errors import ConfigError
from embedlib.index.vector_cache import read_hashes
from embedlib.models.resolve import model_digests
from embedlib.models.sparse import load_sparse_encoder
from embedlib.retrieval.sparse import SparseIndex, SparseInfo, read_matrix
from embedlib.stages.base import Job, Stage, Summary
from embedlib.store import Store

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HASHES_FILE = "hashes.npy"


def run(job: Job, config: Sparse, *, corpus: ArtifactRef) -> Summary:
    """Encode the documents whose content no earlier artifact of the same model holds."""
    from scipy.sparse import vstack

    if config.model is None:
        raise ConfigError(["sparse.model: no sparse encoder is named"])
    encoder, hashes = load_sparse_encoder(config.model), read_hashes(corpus.file("corpus.parquet"))
    parts: list[csr_matrix] = []
    row_of: dict[bytes, int] = {}
    if earlier := _latest(job.store, encoder.digest):
        parts.append(read_matrix(earlier.path, SparseInfo.read(earlier.path)))
        row_of = {content: row for row, content in enumerate(np.load(earlier.file(HASHES_FILE)).tolist())}
    known = sum(part.shape[0] for part in parts)
    first_of = {content: row for row, content in enumerate(hashes.tolist()) if content not in row_of}
    texts = Corpus(corpus.path).texts_at(list(first_of.values()))
    if texts:
        parts.append(encoder.encode_documents(texts, job.progress))
    row_of |= {content: known + row for row, content in enumerate(first_of)}
    rows = [row_of[content] for content in hashes.tolist()]
    info = SparseIndex(vstack(parts, format="csr")[rows], encoder).save(job.out)
    np.save(job.out / HASHES_FILE, hashes, allow_pickle=False)
    return {"documents": info.documents, "terms": info.terms, "encoded": len(texts)}


def _latest(store: Store, digest: str) -> ArtifactRef | None:
    """The newest term weights of a model."""
    found = [ref for ref in store.artifacts("sparse") if SparseInfo.read(ref.path).model_digest == digest]
    return max(found, key=lambda ref: ref.manifest.created_at, default=None)


def external(config: Sparse) -> dict[str, str]:
    """Digest of the model's files."""
    return model_digests(sparse=config.model)


STAGE = Stage("sparse", "sparse", run, external, accelerated=True)
