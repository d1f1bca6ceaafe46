"""The whole configuration and how it is read: a file, a data path, dotted overrides."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from embedlib.config import yaml_text
from embedlib.config.base import OPERATIONAL, Section
from embedlib.config.data import Ingest, Split
from embedlib.config.evaluation import Decide, Evaluate, Report
from embedlib.config.index import Index, Publish
from embedlib.config.models import Encode, Model, Sparse
from embedlib.config.monitoring import Monitor
from embedlib.config.pairs import Mine, Synthesize
from embedlib.config.reranking import Rerank, Reranking
from embedlib.config.serving import Serve
from embedlib.config.training import Adapt, Distil, Merge, Probe, Train
from embedlib.errors import ConfigError, UserError

#: Options into which a key is pasted by mistake: what was found there is not shown.
MAY_HOLD_SECRETS = ("key_env", "url_env", "base_url")
#: Characters of a wrong value that a message repeats.
MOST_SHOWN = 200


class Tracking(Section):
    """Where MLflow keeps runs, figures and the model registry."""

    uri: str | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """MLflow tracking URI without credentials (MLFLOW_TRACKING_USERNAME and _PASSWORD hold them, or
    MLFLOW_TRACKING_URI the whole); null = that variable, or a SQLite file inside the workspace."""
    experiment: str = Field(default="embedlib", min_length=1)
    """Experiment that the runs belong to."""
    model_name: str = Field(default="embedlib", pattern=r'^[^/:"]+$')
    """Name in the model registry; its alias ``champion`` names the published version."""
    register_model: bool = True
    """Log a promoted model to the registry (a copy of its folder)."""


class Run(Section):
    """How the flow's fan-out is executed; never changes a result."""

    task_runner: Literal["threads", "processes", "dask", "ray"] = "threads"
    """Engine for shards: threads or processes here, or a Dask or Ray cluster."""
    workers: int = Field(default=2, ge=1, le=1024)
    """Workers of the engine when it is started here."""
    address: str | None = None
    """Address of a running Dask scheduler or Ray head; null starts a local one."""
    limit: str | None = Field(default=None, min_length=1)
    """Global concurrency limit of Prefect that a stage holds while it trains or encodes, on any machine;
    make it with ``prefect gcl create gpu --limit 1``. null: none."""
    retries: int = Field(default=1, ge=0, le=10)
    """How often a stage that failed through no mistake of the user is tried again."""


class Config(Section):
    """A file that names only the documents is a complete configuration."""

    workspace: Path = Field(default=Path("workspace"), json_schema_extra=OPERATIONAL)
    """Folder of artifacts, releases and tracking; relative paths start at the working directory."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of all randomness."""
    ingest: Ingest = Ingest()
    """Documents: where from, cleaning, chunking."""
    split: Split = Split()
    """Labels and the train, dev and test splits."""
    model: Model = Model()
    """The base model."""
    synthesize: Synthesize = Synthesize()
    """Training pairs."""
    probe: Probe = Probe()
    """Short trainings on dev that drop pair origins which do harm."""
    mine: Mine = Mine()
    """Hard negatives and teacher scores."""
    adapt: Adapt = Adapt()
    """Unsupervised domain adaptation before fine-tuning."""
    train: Train = Train()
    """Fine-tuning."""
    merge: Merge = Merge()
    """Weight interpolation with the base when only a guard fails."""
    distil: Distil = Distil()
    """A smaller student instead of the model, where the release is to be fast."""
    rerank: Rerank = Rerank()
    """A reranker of the first hits, where it makes the answer better."""
    encode: Encode = Encode()
    """Encoding of the corpus."""
    sparse: Sparse = Sparse()
    """A sparse encoder as a third ranking."""
    evaluate: Evaluate = Evaluate()
    """Measures, systems compared, guards, slices."""
    decide: Decide = Decide()
    """The promotion gate."""
    index: Index = Index()
    """The FAISS index."""
    publish: Publish = Publish()
    """Verification, release and retention."""
    report: Report = Report()
    """The HTML report."""
    monitor: Monitor = Monitor()
    """Watching the live release."""
    serve: Serve = Serve()
    """Answering over HTTP."""
    tracking: Tracking = Tracking()
    """MLflow."""
    run: Run = Run()
    """Execution engine."""

    @property
    def served_evaluation(self) -> Evaluate:
        """The evaluation's options; without a BM25 index the models are served by their vectors."""
        return self.evaluate if self.index.bm25 else self.evaluate.model_copy(update={"search": "dense"})

    @property
    def reranking(self) -> Reranking:
        """When a reranker is served."""
        wanted = self.rerank
        return Reranking(depth=wanted.depth, latency_ms=wanted.latency_ms, decide=self.decide)

    def on(self, documents: Path) -> Config:
        """The same options on other documents, with the labels that lie beside them unless told where."""
        values = self.model_dump(exclude_unset=True)
        values["ingest"] = values.get("ingest", {}) | {"source": {"type": "auto", "path": documents}}
        if self.split.labels.type in ("none", "auto"):
            values.get("split", {}).pop("labels", None)
        return Config.model_validate(values)

    def of(
        self, documents: Path | None = None, labels: Path | None = None, workspace: Path | None = None
    ) -> Config:
        """The same options with what a person names first: documents, labels and workspace."""
        config = self if documents is None else self.on(documents)
        values: dict[str, Any] = {}
        if labels is not None:
            kind = "beir" if labels.is_dir() else "log"
            split = config.split.model_dump(exclude_unset=True)
            values["split"] = split | {"labels": {"type": kind, "path": labels}}
        if workspace is not None:
            values["workspace"] = workspace
        return Config.model_validate(config.model_dump(exclude_unset=True) | values) if values else config

    def with_runs(self, paths: Sequence[Path]) -> Config:
        """The same options with further TREC run files to measure."""
        runs = (*self.evaluate.runs, *paths)
        return self.model_copy(update={"evaluate": self.evaluate.model_copy(update={"runs": runs})})

    @model_validator(mode="before")
    @classmethod
    def _labels_beside_documents(cls, values: Any) -> Any:
        """A BEIR folder's own labels are used unless the configuration says where labels are."""
        if not isinstance(values, dict) or not all(
            isinstance(values.get(name) or {}, dict) for name in ("ingest", "split")
        ):
            return values
        source, split = (values.get("ingest") or {}).get("source"), values.get("split") or {}
        if isinstance(source, dict) and source.get("type") in ("auto", "beir") and "path" in source:
            return {**values, "split": {"labels": {"type": "auto", "path": source["path"]}, **split}}
        return values

    @model_validator(mode="before")
    @classmethod
    def _tokenizer_of_the_model(cls, values: Any) -> Any:
        """Documents are measured and cut with the base model's tokenizer unless another one is named."""
        if not isinstance(values, dict):
            return values
        model, ingest = values.get("model"), values.get("ingest") or {}
        if not isinstance(model, dict) or "name" not in model or not isinstance(ingest, dict):
            return values
        return {**values, "ingest": {"tokenizer": model["name"], **ingest}}


def load_config(
    file: Path | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> Config:
    """Read a configuration; later sources win.

    Args:
        file: YAML file; paths in it are taken as they stand.
        values: Nested values set by a command's own options, such as the workspace.
        overrides: Dotted settings, ``train.epochs=2``; the value is read as YAML.
        base: Nested values that everything else wins over, such as the live release's configuration.

    Raises:
        ConfigError: Lists every mistake with its path, what was found and what is allowed.
        UserError: The file is missing or not YAML.

    Examples:
        >>> load_config(values={"workspace": "ws"}, overrides=["train.epochs=2"]).train.epochs
        2.0
    """
    merged: dict[str, Any] = {}
    for layer in (base or {}, _read_yaml(file) if file else {}, values or {}, _parse_overrides(overrides)):
        _merge(merged, layer)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_problems(error, merged), where=str(file or "options")) from None


def _problems(error: ValidationError, values: Mapping[str, Any]) -> list[str]:
    """Every mistake; labels that were only looked for beside the documents are not told a second time."""
    split = values.get("split")
    beside = not (isinstance(split, dict) and "labels" in split)
    return [_explain(e) for e in error.errors() if not (beside and e["loc"][:2] == ("split", "labels"))]


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        value = yaml_text.parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            "the configuration file cannot be read",
            where=str(file),
            found=error.strerror or str(error),
            remedy="give the path of a YAML file; `embedlib config` prints an example",
        ) from error
    except ValueError as error:
        raise UserError(
            "the configuration file is not plain YAML", where=str(file), found=str(error)[:MOST_SHOWN]
        ) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(
            "the configuration is not a mapping of sections",
            where=str(file),
            expected="sections such as `ingest:`",
            found=type(value).__name__,
        )
    return value


def _parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    problems = []
    for item in overrides:
        path, equals, text = item.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            problems.append(f"{item!r}: expected section.option=value")
            continue
        try:
            leaf = yaml_text.parse(text)
        except ValueError as error:
            problems.append(f"{item[:MOST_SHOWN]!r}: the value is not plain YAML: {error}")
            continue
        nested: dict[str, Any] = {keys[-1]: leaf}
        for key in reversed(keys[:-1]):
            nested = {key: nested}
        _merge(values, nested)
    if problems:
        raise ConfigError(problems, where="--set")
    return values


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Lay values over others; a section of another ``type`` has nothing of the one below it."""
    for key, value in layer.items():
        below = into.get(key)
        if not isinstance(value, Mapping):
            into[key] = value
        elif isinstance(below, dict) and value.get("type", below.get("type")) == below.get("type"):
            _merge(below, value)
        else:
            into[key] = dict(value)


def _explain(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        allowed = _fields_at(error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), allowed, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(allowed)}"
        return f"{path}: unknown option; {hint}"
    if error["type"] == "secret" or (error["loc"] and error["loc"][-1] in MAY_HOLD_SECRETS):
        variable = "; name an environment variable, in capitals" if path.endswith("_env") else ""
        return f"{path}: {error['msg']}{variable}"
    found = repr(error["input"])
    return f"{path}: {error['msg']}; found {found[:MOST_SHOWN] + '…' if len(found) > MOST_SHOWN else found}"


def _fields_at(loc: Sequence[Any]) -> list[str]:
    """Option names of the section at a path; union members that are no field are stepped over."""
    model: Any = Config
    for part in loc:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            model = _member(model, part) or model
            continue
        model = field.annotation
    names: list[str] = []
    for candidate in _models_in(model):
        names += candidate.model_fields
    return sorted(set(names))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in getattr(annotation, "__args__", ()) for m in _models_in(arg)]


def _member(annotation: Any, tag: Any) -> type[BaseModel] | None:
    for model in _models_in(annotation):
        kind = model.model_fields.get("type")
        if kind is not None and tag in getattr(kind.annotation, "__args__", ()):
            return model
    return None
