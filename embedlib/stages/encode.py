"""Stage ``encode``: the corpus to vectors, only what is new."""

from __future__ import annotations

from embedlib.artifact import ArtifactRef
from embedlib.config.models import Encode
from embedlib.index.encode import Encoding, encode_corpus
from embedlib.models.hardware import resolve_precision
from embedlib.stages.base import Job, Stage, Summary


def run(job: Job, config: Encode, *, corpus: ArtifactRef, model: ArtifactRef) -> Summary:
    """Encode what the store has no vector for and assemble everything in corpus order."""
    encoding = encoding_of(config, model)
    return encode_corpus(
        job.store, corpus, encoding, job.out, shard_size=config.shard_size, progress=job.progress
    )


def encoding_of(config: Encode, model: ArtifactRef) -> Encoding:
    """The options as the library takes them, ``auto`` resolved for this machine."""
    return Encoding(model.path, model.digest, resolve_precision(config.precision), config.dtype)


def external(config: Encode) -> dict[str, str]:
    """The precision that ``auto`` stands for here: vectors of bf16 and fp32 differ."""
    return {"precision": resolve_precision(config.precision)}


STAGE = Stage("encode", "vectors", run, external, accelerated=True)
