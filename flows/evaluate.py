"""Any models on any labelled data, side by side."""

from __future__ import annotations

from prefect import flow

from embedlib.config.root import Config
from embedlib.store import ArtifactRef
from flows.context import flow_context
from tasks import stages
from tasks.encode import encode


@flow(name="evaluate", flow_run_name="evaluate-{config.workspace.name}", persist_result=False)
def evaluate(config: Config, models: list[str] | None = None) -> ArtifactRef:
    """Measure models on the configured documents and labels; trains and publishes nothing.

    Args:
        config: Documents, labels, measures, guards.
        models: Names or folders; none = the configured base model. The first is the baseline.
    """
    with flow_context(config, "evaluate") as run:
        corpus = stages.ingest(run, config.ingest)
        queries = stages.split(run, config.split, corpus=corpus)
        systems: dict[str, ArtifactRef] = {}
        for name in models or [config.model.name]:
            short = system_name(name, systems)
            model = stages.base_model(run, config.model.model_copy(update={"name": name}), label=short)
            systems[short] = model
            systems[f"{short}_vectors"] = encode(run, config, label=short, corpus=corpus, model=model)
        return stages.evaluate(run, config.evaluate, corpus=corpus, queries=queries, **systems)


def system_name(model: str, taken: dict[str, ArtifactRef]) -> str:
    """A short name for a model's column: the last part of its path, numbered if it is taken."""
    short = model.rstrip("/").rsplit("/", 1)[-1].removesuffix("_vectors")
    number = sum(1 for name in taken if name == short or name.startswith(f"{short}-"))
    return f"{short}-{number + 1}" if number else short
