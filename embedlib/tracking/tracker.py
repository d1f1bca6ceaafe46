"""One MLflow run: its figures, files and model.

Records go to an outbox in the workspace first and from there to MLflow, so that a tracking
server that is away costs nothing but time: the run goes on, and what could not be sent is sent
by whichever run comes next.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

from embedlib.disk import file_lock, write_atomic
from embedlib.errors import counted
from embedlib.redact import redact
from embedlib.tracking.local_store import (
    TRAINING_VIEW,
    default_uri,
    follow_moved_workspace,
    is_champion,
    note_champion,
    ui_address,
)
from embedlib.tracking.registry import CHAMPION, is_refused, reason, register, registered_version

logger = logging.getLogger(__name__)

#: Seconds without a new attempt after a tracking server did not answer.
PAUSE_S = 60.0
_silent_until: dict[str, float] = {}
_SENDER = ThreadPoolExecutor(1, thread_name_prefix="mlflow")

#: What MLflow's page shows first: runs with metrics and models, not evaluations of prompts.
EXPERIMENT_KIND = "custom_model_development"
Status = Literal["FINISHED", "FAILED", "KILLED"]


class Flushed(NamedTuple):
    """How many records were sent, how many wait, and why."""

    sent: int
    waiting: int
    reason: str = ""


class Input(NamedTuple):
    """A data set that a run used: its name, content digest, what it is for, where it is, and figures."""

    name: str
    digest: str
    context: str
    source: str
    profile: Mapping[str, Any] = {}


class Tracker:
    """One MLflow run, written through the outbox.

    Args:
        root: The workspace.
        key: Identity of the run here, such as the flow run's id; the same key continues the run.
        uri: MLflow tracking URI; None = the workspace's own store.
        experiment: Experiment name.
    """

    def __init__(self, root: Path, key: str, *, uri: str | None = None, experiment: str = "embedlib") -> None:
        self.root, self.key, self.experiment = Path(root), key, experiment
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(self.root)
        self.outbox = self.root / "tracking" / key
        self.outbox.mkdir(parents=True, exist_ok=True)

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, once MLflow has been reached."""
        path = self.outbox / "run_id"
        return path.read_text() if path.is_file() else None

    @property
    def address(self) -> str:
        """The run's page in MLflow's UI, or its id where no UI is known."""
        if self.run_id is None:
            return "not reached yet; what is to be recorded waits in the workspace"
        experiment = (self.outbox / "experiment_id").read_text()
        ui = self.uri if self.uri.startswith("http") else ui_address(self.root)
        if ui:
            return f"{redact(ui).rstrip('/')}/#/experiments/{experiment}/runs/{self.run_id}?{TRAINING_VIEW}"
        return f"{self.run_id} in the experiment {self.experiment}, which embedlib ui shows"

    def start(self, name: str, *, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Open the run with its parameters (nested values are flattened with dots) and tags."""
        self._put({"do": "start", "name": name, "params": _flatten(params), "tags": dict(tags)})

    def figures(self, prefix: str, values: Mapping[str, Any]) -> None:
        """Record every finite number in ``values`` as a metric ``prefix/path``, every text as a parameter.

        MLflow shows the metrics of one prefix as a section of their own. Tags are for what a person
        filters by, see ``describe``; texts and digests would crowd them out.
        """
        flat = _flatten(values)
        metrics = {f"{prefix}/{k}": float(v) for k, v in flat.items() if _is_number(v)}
        texts = {f"{prefix}.{k}": str(v)[:500] for k, v in flat.items() if isinstance(v, str | bool)}
        self._put({"do": "figures", "metrics": metrics, "texts": texts})

    def point(self, name: str, step: int, value: float) -> None:
        """Record one point of a curve; it is sent with whatever is sent next."""
        self._put({"do": "point", "name": name, "step": step, "value": value, "at": int(time.time() * 1000)})

    def describe(self, text: str = "", tags: Mapping[str, str] = {}) -> None:
        """Give the run a description (Markdown, on top of its page), and tags to filter by."""
        self._put({"do": "describe", "text": text, "tags": dict(tags)})

    def inputs(self, data: Sequence[Input]) -> None:
        """Record the data sets that the run used."""
        self._put({"do": "inputs", "data": [d._asdict() for d in data]})

    def files(self, folder: str, paths: Sequence[Path]) -> None:
        """Record files under the artifact path ``folder``; they must stay where they are until sent."""
        self._put({"do": "files", "folder": folder, "paths": [str(p) for p in paths]})

    def model(self, path: Path, *, name: str, digest: str, description: str = "") -> None:
        """Register a sentence-transformers folder as a new version and point ``champion`` to it."""
        import mlflow.sentence_transformers  # noqa: F401 - not in a thread, see ``flush_soon``

        version = {"path": str(path), "name": name, "digest": digest, "description": description}
        note_champion(self.root, digest)
        self._put({"do": "model", **version})

    def finish(self, status: Status = "FINISHED") -> Flushed:
        """Close the run and send everything that waits, of earlier runs too."""
        self._put({"do": "finish", "status": status})
        flushed = self.flush()
        for other in sorted(p for p in self.outbox.parent.iterdir() if p != self.outbox):
            if any(other.glob("*.json")):
                Tracker(self.root, other.name, uri=self.uri, experiment=self.experiment).flush()
        return flushed

    def flush_soon(self) -> None:
        """Send what waits, in the background: the next stage need not wait for it.

        What fails stays in the outbox for the next flush, at the latest that of ``finish``.
        """
        from mlflow import MlflowClient  # noqa: F401 - not in a thread beside the next stage's imports

        _SENDER.submit(copy_context().run, self.flush)

    def flush(self) -> Flushed:
        """Send what waits, in order; a server that does not answer is left alone for ``PAUSE_S``.

        What it refuses for good is set aside, as ``….refused``: it would hold up all that waits behind it.
        """
        with file_lock(self.outbox / ".lock"):
            pending = sorted(self.outbox.glob("*.json"))
            if not pending:
                return Flushed(0, 0)
            if time.monotonic() < _silent_until.get(self.uri, 0.0):
                return Flushed(0, len(pending), "MLflow did not answer a moment ago")
            sent = 0
            for path in pending:
                error = self._send(json.loads(path.read_text(encoding="utf-8")))
                if error is None:
                    path.unlink()
                    sent += 1
                elif self.run_id and is_refused(error):
                    logger.warning("MLflow: %s; set aside: %s", reason(error), path)
                    path.rename(path.with_suffix(".refused"))
                else:
                    _silent_until[self.uri] = time.monotonic() + PAUSE_S
                    waiting = sum(p.is_file() for p in pending)
                    left = counted(waiting, "record")
                    logger.warning("MLflow: %s; not sent yet: %s in %s", reason(error), left, self.outbox)
                    return Flushed(sent, waiting, reason(error))
            return Flushed(sent, 0)

    def _put(self, record: dict[str, Any]) -> None:
        with file_lock(self.outbox / ".put.lock"):
            write_atomic(self.outbox / f"{time.time_ns():020d}.json", json.dumps(record))

    def _send(self, record: dict[str, Any]) -> Exception | None:
        """Send one record; returns why it could not be sent."""
        try:
            getattr(self, f"_send_{record.pop('do')}")(**record)
        except Exception as error:  # noqa: BLE001 - a model that does not load ends no run, either
            return error
        return None

    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.uri, registry_uri=self.uri)

    def _open_run(self, name: str = "", tags: Mapping[str, str] | None = None) -> str:
        if self.run_id:
            return self.run_id
        if self.uri == default_uri(self.root):
            follow_moved_workspace(self.root)
        from mlflow.store.db.db_types import DATABASE_ENGINES

        client = self._client()
        experiment = client.get_experiment_by_name(self.experiment)
        if experiment is None:
            # a server has a place for files; written to a database directly, they would go to ./mlruns
            database = self.uri.partition(":")[0].partition("+")[0] in DATABASE_ENGINES
            place = (self.root.resolve() / "mlartifacts").as_uri() if database else None
            experiment_id = client.create_experiment(
                self.experiment, artifact_location=place, tags={"mlflow.experimentKind": EXPERIMENT_KIND}
            )
        else:
            experiment_id = experiment.experiment_id
        run = client.create_run(experiment_id, run_name=name or self.key, tags=dict(tags or {}))
        write_atomic(self.outbox / "experiment_id", experiment_id)
        write_atomic(self.outbox / "run_id", run.info.run_id)
        return str(run.info.run_id)

    def _send_start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        run_id = self._open_run(name, tags)
        items = [Param(k, str(v)[:6000]) for k, v in params.items()]
        for start in range(0, len(items), 100):
            self._client().log_batch(run_id, params=items[start : start + 100])

    def _send_figures(self, metrics: Mapping[str, float], texts: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, Param

        client, run_id, now = self._client(), self._open_run(), int(time.time() * 1000)
        there = client.get_run(run_id).data.params  # a stage tried again tells the same; the first word stays
        named = {_metric_name(k): v for k, v in texts.items()}
        client.log_batch(
            run_id,
            metrics=[Metric(_metric_name(k), v, now, 0) for k, v in metrics.items()],
            params=[Param(k, v) for k, v in named.items() if k not in there],
        )

    def _send_point(self, name: str, step: int, value: float, at: int) -> None:
        self._client().log_metric(self._open_run(), _metric_name(name), value, timestamp=at, step=step)

    def _send_describe(self, text: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        items = {"mlflow.note.content": text, **tags} if text else tags
        self._client().log_batch(self._open_run(), tags=[RunTag(k, v[:5000]) for k, v in items.items()])

    def _send_inputs(self, data: Sequence[Mapping[str, Any]]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self._client().log_inputs(
            self._open_run(),
            [
                DatasetInput(
                    Dataset(
                        d["name"], d["digest"][:36], "local", d["source"], profile=json.dumps(d["profile"])
                    ),
                    [InputTag("mlflow.data.context", d["context"])],
                )
                for d in data
            ],
        )

    def _send_files(self, folder: str, paths: Sequence[str]) -> None:
        for path in paths:
            if Path(path).is_file():
                self._client().log_artifact(self._open_run(), path, folder)
            else:
                logger.warning("MLflow: %s is gone and was not recorded", path)

    def _send_model(self, path: str, name: str, digest: str, description: str) -> None:
        client = self._client()
        version = registered_version(client, name, digest)
        if version is None:
            version = register(client, self.uri, self._open_run(), path, name, digest, description)
        if is_champion(self.root, digest):
            client.set_registered_model_alias(name, CHAMPION, version)

    def _send_finish(self, status: Status) -> None:
        self._client().set_terminated(self._open_run(), status)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, Mapping)
        flat |= _flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _metric_name(name: str) -> str:
    """MLflow allows letters, digits and ``_-. :/`` in names."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in name.replace("@", "_at_"))
