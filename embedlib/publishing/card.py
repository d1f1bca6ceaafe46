"""The model card of a release, in the hub's format: metadata for machines, then Markdown for people.

Written when a release is exported or pushed, not when the model is trained: only then is it known what
was measured and how the release is searched, and the model's artifact stays as it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from embedlib.evaluation.records import JudgedFigures
from embedlib.evaluation.significance import Interval
from embedlib.index.catalog import Release
from embedlib.publishing.facts import ModelFacts

_ORIGINS = {"human": "written and judged by people", "derived": "derived from held-out documents"}
#: Options of a step that say how it was trained; the rest stands in ``provenance.json``.
_OPTIONS = (
    *("loss", "epochs", "batch_size", "mini_batch_size", "learning_rate", "warmup_ratio", "temperature"),
    *("negatives", "max_length", "method", "seed"),
)


def model_card(
    name: str, release: Release, facts: ModelFacts, converted: Mapping[str, Any] | None = None
) -> str:
    """The content of ``README.md``.

    ``converted`` is what ``convert`` returned, where the folder holds the model for another runtime.
    """
    parts = [
        f"# {name}",
        _introduction(release, facts),
        "## Use",
        _usage(name, facts),
        *_other_runtime(converted or {}),
        "## Measured",
        *_measured(facts),
        "## How it was made",
        *_made(facts),
        "## Data",
        *_data(facts),
        "## How it is searched",
        _search(release),
        "## Limits",
        "\n".join(_limits(facts)),
    ]
    return f"---\n{_metadata(name, facts)}\n---\n" + "\n\n".join(parts) + "\n"


def _metadata(name: str, facts: ModelFacts) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    measured = [
        EvalResult(
            task_type="information-retrieval",
            task_name="Information Retrieval",
            dataset_type="private",
            dataset_name=f"test queries ({dataset})",
            metric_type=measure.lower().replace("@", "_at_"),
            metric_name=measure,
            metric_value=round(value.mean, 4),
        )
        for dataset, figures in _datasets(facts).items()
        for measure, value in figures.systems.get(facts.system, {}).items()
    ]
    data = ModelCardData(
        base_model=facts.base if "/" in facts.base else None,
        license=facts.licence.lower() or None,
        language=_languages(facts) or None,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "feature-extraction", "sentence-similarity", "embedlib"],
        metrics=sorted({result.metric_type for result in measured}) or None,
        model_name=name if measured else None,
        eval_results=measured or None,
    )
    return str(data.to_yaml(line_break="\n")).strip()


def _introduction(release: Release, facts: ModelFacts) -> str:
    vectors = f"vectors of {facts.dimension} components" if facts.dimension else "vectors"
    made = (
        f"`{facts.base}` tuned for one collection of documents"
        if facts.steps
        else f"`{facts.base}`, not tuned"
    )
    verdict = facts.decision.headline if facts.decision else ""
    return (
        f"A sentence-transformers model that maps texts to {vectors}: {made}. "
        f"Release {release.number}, made by embedlib on {release.created_at[:10]}. {verdict}"
    ).strip()


def _usage(name: str, facts: ModelFacts) -> str:
    query, document = facts.origin.query_prompt or "", facts.origin.document_prompt or ""
    prompts = (
        f'\n\n`encode_query` puts "{query}" before a query, `encode_document` "{document}" before a document.'
        if query or document
        else "\n\nNo prompt is put before queries or documents."
    )
    return (
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        f'model = SentenceTransformer("{name}")\n'
        'queries = model.encode_query(["how do I reset my password"])\n'
        'documents = model.encode_document(["To reset the password, open the settings."])\n'
        "print(model.similarity(queries, documents))\n```" + prompts
    )


def _other_runtime(converted: Mapping[str, Any]) -> Iterator[str]:
    if "runtime" in converted:
        yield (
            f"`{converted['file']}` is the whole model for {converted['runtime']}: "
            f"{', '.join(converted['inputs'])} [batch, sequence] in, "
            "`sentence_embedding` [batch, dimension] out. Against this model its smallest cosine on "
            f"{converted['texts']} texts is {converted['cosine']:.5f}."
        )
    if "ndcg" in converted:
        yield (
            f"On {converted['queries']} judged queries its nDCG@10 is {converted['ndcg']:.4f}, this model's "
            f"{converted['model_ndcg']:.4f}, each over the relevant documents and this model's first ten."
        )


def _languages(facts: ModelFacts) -> list[str]:
    """Languages of at least a tenth of the documents looked at, the commonest first."""
    counts = (facts.corpus.languages if facts.corpus else None) or {}
    return [code for code, n in counts.items() if n >= 0.1 * sum(counts.values())]


def _measured(facts: ModelFacts) -> Iterator[str]:
    """A table a data set, each figure with its interval, this model marked; the reasons of the decision."""
    if facts.evaluation is None:
        yield "Nothing was measured."
        return
    for dataset, figures in _datasets(facts).items():
        yield (
            f"{figures.answerable} test queries ({_origin(dataset)}), {figures.documents} documents; "
            f"means with {facts.evaluation.level:.0%} bootstrap intervals. This model is in bold."
        )
        measures = list(next(iter(figures.systems.values())))
        lines = ["| system | " + " | ".join(measures) + " |", "|" + " --- |" * (len(measures) + 1)]
        for system, values in figures.systems.items():
            shown = f"**{system}**" if system == facts.system else system
            lines.append(f"| {shown} | " + " | ".join(_interval(values[m]) for m in measures) + " |")
        yield "\n".join(lines)
    if facts.decision:
        yield "\n".join(f"- {line}" for line in (*facts.decision.reasons, *facts.decision.advice))


def _made(facts: ModelFacts) -> Iterator[str]:
    if not facts.steps:
        yield f"The base model `{facts.base}` as it is: no candidate was proven better."
        return
    yield f"From `{facts.base}`, step by step:"
    lines = []
    for number, (stage, options) in enumerate(reversed(facts.steps), start=1):
        given = ", ".join(f"{key} {options[key]}" for key in _OPTIONS if _plain(options.get(key)))
        lines.append(f"{number}. {stage}{f' ({given})' if given else ''}")
    yield "\n".join(lines)
    yield "`provenance.json` has every option, and the digests of what it was made from."


def _data(facts: ModelFacts) -> Iterator[str]:
    corpus = facts.corpus
    if corpus:
        scripts = ", ".join(corpus.scripts)
        yield (
            f"{corpus.documents} documents, {corpus.tokens.mean} tokens in the mean, "
            f"scripts: {scripts}. None of their text is in this folder."
        )
    if facts.queries:
        lines = ["| split | queries | judgements | origin |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {name} | {s.queries} | {s.judgements} | {_origin(s.origin)} |"
            for name, s in facts.queries.splits.items()
        ]
        yield "\n".join(lines)
    figures = {key: value for key, value in facts.pairs.items() if _plain(value)}
    if figures:
        yield "Training pairs: " + ", ".join(f"{key} {value}" for key, value in figures.items()) + "."


def _search(release: Release) -> str:
    plan = release.search
    text = f"The release answers queries with: {plan}."
    if plan.mode == "hybrid" and plan.fusion == "zscore":
        text += f" The score is z(cosine) + {plan.weight:g} · z(BM25), each over all documents."
    if plan.mode != "dense":
        text += (
            " BM25 and the fusion are not part of this folder: the model alone gives the row of its own name."
        )
    return text


def _limits(facts: ModelFacts) -> Iterator[str]:
    longest = facts.origin.max_length
    if longest:
        yield f"- Texts beyond {longest} tokens are cut."
    yield (
        "- It was judged on one collection. Elsewhere, measure it beside its base model: "
        "tuning may have cost general quality, within the margins of the guards above."
    )
    if facts.queries and any(s.origin == "derived" for s in facts.queries.splits.values()):
        yield "- Its test queries were derived from documents; queries that people write may rank otherwise."
    if not facts.licence:
        yield f"- The licence of `{facts.base}` is not known here; it binds this model too."


def _datasets(facts: ModelFacts) -> Mapping[str, JudgedFigures]:
    return facts.evaluation.datasets if facts.evaluation else {}


def _origin(name: str) -> str:
    return _ORIGINS.get(name, name)


def _interval(value: Interval) -> str:
    return f"{value.mean:.4f} ({value.low:.4f} … {value.high:.4f})"


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
