"""The live release put in front of the checks: vectors, model, proof, and other ways to use the model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedlib.contracts import Corpus, Doubles, Rows
from embedlib.doctor import consistency, quality, text, vectors
from embedlib.doctor.findings import Finding, failure, fine
from embedlib.evaluation.dev import DevSet
from embedlib.evaluation.lineage import Provenance
from embedlib.index.catalog import Release
from embedlib.index.info import IndexInfo
from embedlib.models.prompts import Prompts, known_prompts
from embedlib.monitoring.live import LiveRelease, read_proof
from embedlib.stages.evaluate import precision_of
from embedlib.vectors import Vectors, VectorsInfo

if TYPE_CHECKING:
    from embedlib.models.local import LocalEncoder

SAMPLE = 2000
ENCODED_AGAIN = 16
DOCUMENTS_TRIED, QUERIES_TRIED = 500, 100
#: Poolings that models are made with.
POOLINGS = {"mean": "mean", "cls": "cls", "last-token": "lasttoken"}


class ReleaseDoctor:
    """Examines one release; each method is one subject and returns its findings."""

    def __init__(self, root: Path, release: Release, rng: np.random.Generator) -> None:
        self.root, self.release, self.rng = Path(root), release, rng
        self.parts = {name: release.ref(self.root, name) for name in release.parts}
        self.corpus = Corpus(self.parts["corpus"].path)

    @cached_property
    def vectors(self) -> Vectors:
        """The released vectors."""
        return Vectors(self.parts["vectors"].path)

    @cached_property
    def rows(self) -> Rows:
        """Rows of the sampled documents, ascending."""
        return np.sort(self.rng.permutation(len(self.vectors))[:SAMPLE])

    @cached_property
    def encoder(self) -> LocalEncoder:
        """The released model, in the precision that made its vectors."""
        from embedlib.models.local import load_encoder

        return load_encoder(self.parts["model"].path, dtype=precision_of(self.vectors))

    @cached_property
    def texts(self) -> list[str]:
        """The sampled documents as the encoder sees them."""
        return self.corpus.texts_at(self.rows)

    @cached_property
    def dev(self) -> DevSet | None:
        """Judged queries to try alternatives on, in a small corpus."""
        folder = LiveRelease(self.root, self.release).queries
        if folder is None:
            return None
        few = {"size": DOCUMENTS_TRIED, "most_queries": QUERIES_TRIED}
        tried = (DevSet.read(self.corpus, folder, split=s, rng=self.rng, **few) for s in ("dev", "test"))
        return next((found for found in tried if found is not None), None)

    def files(self) -> Iterable[Finding]:
        """Are the released files what was written, and made from each other?"""
        damage = LiveRelease(self.root, self.release).damage()
        if damage:
            remedy = "embedlib rollback; then delete the damaged artifact's folder and run again"
            yield failure("files", "a released file is damaged", remedy, damage=damage)
            return
        released = {name: part.digest for name, part in self.release.parts.items()}
        infos: dict[str, VectorsInfo | IndexInfo] = {
            "vectors": self.vectors.info,
            "index": IndexInfo.read(self.parts["index"].path),
        }
        recorded = {
            name: {"model": info.model_digest, "corpus": info.corpus_digest} for name, info in infos.items()
        }
        yield consistency.check_pairing(released, recorded)

    def geometry(self) -> Iterable[Finding]:
        """Norms, metric, anisotropy, collapse."""
        sample = self.vectors.take(self.rows)
        info = IndexInfo.read(self.parts["index"].path)
        yield vectors.check_norms(sample, self.vectors.info.normalized, info.metric)
        if len(sample) > 1:
            yield vectors.check_anisotropy(sample, self.rng)
            hashes = [d.content_hash for d in self.corpus.take(self.rows)]
            yield vectors.check_collapse(sample, hashes)

    def model(self) -> Iterable[Finding]:
        """Does the model still give its vectors, and was it made by a library that is here?"""
        rows = self.rows[:ENCODED_AGAIN]
        encoded = self.encoder.encode_documents(self.texts[:ENCODED_AGAIN])
        ids = [self.corpus.ids[row] for row in rows]
        yield consistency.check_same_vectors(self.vectors.take(rows), encoded, ids)
        path = self.parts["model"].path / "config_sentence_transformers.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        recorded = config.get("__version__", {}).get("sentence_transformers")
        yield consistency.check_library(recorded, metadata.version("sentence-transformers"))

    def language(self) -> Iterable[Finding]:
        """Vocabulary gap, truncation, padding."""
        tokenizer = self.encoder.tokenizer
        sample = self.texts[: SAMPLE // 4]
        yield text.check_vocabulary(sample, tokenizer.tokenize, tokenizer.unk_token)
        lengths = self.encoder.count_tokens(self.texts)
        yield text.check_truncation(lengths, self.encoder.max_length)
        seen = np.minimum(lengths, self.encoder.max_length or lengths.max())
        yield text.check_padding(seen, 64, self.rng)

    def proof(self) -> Iterable[Finding]:
        """The figures it was published with: base, BM25."""
        proof = read_proof(self.root, self.release)
        if proof is None:
            yield fine("base", "the release has no evaluation to look at")
            return
        own, alone = proof.of_release(self.release.search), proof.of_release()
        if proof.released != "base" and "base" in proof.values:
            yield quality.check_base(alone, proof.values["base"], self.rng)
        if "bm25" in proof.values:
            hybrid = proof.values.get(f"hybrid:{proof.released}")
            yield quality.check_bm25(own, proof.values["bm25"], hybrid, self.rng)

    def usage(self) -> Iterable[Finding]:
        """Prompts, pooling and metric, each against its alternatives on judged queries."""
        if self.dev is None:
            yield fine("usage", "no judged queries: prompts, pooling and metric were not tried")
            return
        current = self.dev.score(self.encoder)[1]
        known = known_prompts(Provenance.of(self.parts["model"].path).source or "")
        others = dict(self._other_prompts(self.dev, known or Prompts()))
        yield quality.check_prompts(current, others, _shown(known) if known else "", self.rng)
        yield quality.check_pooling(current, dict(self._other_poolings(self.dev)), self.rng)
        yield self._metric(self.dev, current)

    def _other_prompts(self, dev: DevSet, known: Prompts) -> Iterable[tuple[str, Doubles]]:
        own = self.encoder.prompts
        for prompts in sorted({Prompts(), known, Prompts("query: ", "passage: ")} - {own}):
            self.encoder.prompts = prompts
            yield _shown(prompts), dev.score(self.encoder)[1]
        self.encoder.prompts = own

    def _other_poolings(self, dev: DevSet) -> Iterable[tuple[str, Doubles]]:
        from sentence_transformers.sentence_transformer.modules import Pooling

        module = self.encoder.module
        places = [i for i, part in enumerate(module) if isinstance(part, Pooling)]
        if not places:
            return
        place, own = str(places[0]), module[places[0]]
        for name, library_name in POOLINGS.items():
            if library_name != own.pooling_mode:
                module._modules[place] = Pooling(own.embedding_dimension, pooling_mode=library_name)
                yield name, dev.score(self.encoder)[1]
        module._modules[place] = own

    def _metric(self, dev: DevSet, current: Doubles) -> Finding:
        in_use = self.encoder.normalized
        self.encoder.normalized = not in_use
        other = dev.score(self.encoder)[1]
        self.encoder.normalized = in_use
        cosine, inner = (current, other) if in_use else (other, current)
        return quality.check_metric(cosine, inner, "cosine" if in_use else "inner_product", self.rng)


def _shown(prompts: Prompts) -> str:
    return f"query {prompts.query!r}, document {prompts.document!r}"
