"""Sparse encoders (SPLADE and its like): texts as few weighted terms of a large vocabulary."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlib.errors import ModelError
from embedlib.models.encoder import check_texts
from embedlib.models.loading import made_up_weights, require_weights
from embedlib.models.resolve import model_digest, resolve_model
from embedlib.progress import Progress, silent

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Texts whose dense output over the vocabulary is in memory at a time.
BATCH = 32


class SparseTexts:
    """A ``SparseEncoder`` whose vectors are rows of a scipy matrix; safe to share between threads."""

    def __init__(self, module: Any, name: str, digest: str) -> None:
        self.module, self.name, self.digest = module, name, digest
        self._guard = threading.Lock()

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        """Term weights of queries, float32 [n, terms]."""
        return self._encode(self.module.encode_query, texts, silent)

    def encode_documents(self, texts: Sequence[str], progress: Progress = silent) -> csr_matrix:
        """Term weights of documents, float32 [n, terms]."""
        return self._encode(self.module.encode_document, texts, progress)

    def _encode(self, encode: Any, texts: Sequence[str], progress: Progress) -> csr_matrix:
        from scipy.sparse import csr_matrix, vstack

        check_texts(texts, self.name)
        parts: list[csr_matrix] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            with self._guard:
                found = encode(batch, batch_size=BATCH, show_progress_bar=False, save_to_cpu=True)
            found = found.float().coalesce()
            parts.append(csr_matrix((found.values().numpy(), found.indices().numpy()), shape=found.shape))
            progress(start + len(batch), len(texts), f"encode with {self.name}")
        return vstack(parts, format="csr", dtype="float32") if parts else csr_matrix((0, 0), dtype="float32")


def load_sparse_encoder(name: str) -> SparseTexts:
    """A sparse encoder by name or folder.

    Raises:
        ModelError: There is no such model, it is no sparse encoder, or it lacks weights.
    """
    from sentence_transformers import SparseEncoder

    folder = resolve_model(name)
    if not _is_sparse(folder):
        raise ModelError(
            "this is no sparse encoder",
            where=name,
            expected="a SparseEncoder of sentence-transformers, such as naver/splade-v3",
            found="a model whose files name no sparse module",
            remedy="name another model in sparse.model, or leave it out",
        )
    with made_up_weights() as missing:
        module = SparseEncoder(str(folder), local_files_only=True)
    require_weights(missing, name, "get its files again, or name another sparse encoder")
    return SparseTexts(module.eval(), name, model_digest(name))


def _is_sparse(folder: Path) -> bool:
    files = [folder / "modules.json", folder / "config_sentence_transformers.json"]
    found = "".join(f.read_text(encoding="utf-8") for f in files if f.is_file())
    return "sparse_encoder." in found or '"SparseEncoder"' in found
