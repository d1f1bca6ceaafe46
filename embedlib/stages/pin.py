"""Stage ``pin``: a model as a sentence-transformers folder with its options fixed in it."""

from __future__ import annotations

from pathlib import Path

from embedlib.config.models import Model
from embedlib.evaluation.lineage import Provenance
from embedlib.models.api_protocols import is_api_spec
from embedlib.models.local import load_encoder
from embedlib.models.opening import ApiModel
from embedlib.models.resolve import model_digest
from embedlib.stages.base import Job, Stage, Summary


def run(job: Job, config: Model) -> Summary:
    """Load the model with its options and write it; its folder alone then says how it is used.

    Of a model behind an API, which can be evaluated and not tuned, the folder holds name and options.
    """
    source = _source(config)
    if is_api_spec(source):
        api = ApiModel(name=source, dimension=config.dimension, max_length=config.max_length)
        api.write(job.out)
        return api.model_dump()
    given = {"query": config.query_prompt, "document": config.document_prompt}
    encoder = load_encoder(
        source,
        max_length=config.max_length,
        dimension=config.dimension,
        prompts={name: prompt for name, prompt in given.items() if prompt is not None},
        pooling=config.pooling,
        trust_remote_code=config.trust_remote_code,
    )
    encoder.save(job.out)
    provenance = Provenance(
        source=Path(source).name if Path(source).is_dir() else source,
        source_digest=model_digest(source),
        dimension=encoder.dimension,
        max_length=encoder.max_length,
        normalized=encoder.normalized,
        query_prompt=encoder.prompts.query,
        document_prompt=encoder.prompts.document,
        pipeline=[type(part).__name__ for part in encoder.module],
        parameters=sum(p.numel() for p in encoder.module.parameters()),
    )
    provenance.write(job.out)
    return provenance.model_dump()


def _source(config: Model) -> str:
    return f"{config.name}@{config.revision}" if config.revision else config.name


def external(config: Model) -> dict[str, str]:
    """Digest of the model's files."""
    source = _source(config)
    return {"model": source if is_api_spec(source) else model_digest(source)}


STAGE = Stage("pin", "model", run, external)
