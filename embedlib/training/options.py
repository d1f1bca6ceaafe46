"""What passes between a stage and its training process: options, the job, and the events that come back.

The job is ``job.json``; an event is one JSON object a line on the process's standard output.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

from embedlib import errors
from embedlib.errors import EmbedlibError, TrainingError

#: Losses by the shape of the data they need; see ``embedlib.training.losses``.
LossName = Literal[
    "auto",
    "mnrl",
    "symmetric-mnrl",
    "cached-mnrl",
    "gist",
    "cached-gist",
    "triplet",
    "contrastive",
    "online-contrastive",
    "cosine",
    "cosent",
    "angle",
    "margin-mse",
    "kl",
]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class LoraOptions:
    """Low-rank adapters (LoRA, arXiv 2106.09685): rank, scaling numerator and dropout."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05


@dataclass(frozen=True)
class TrainOptions:
    """How to fine-tune; the ``train`` options say what each means."""

    loss: LossName = "auto"
    scale: float | None = None
    margin: float | None = None
    distance: Literal["cosine", "euclidean"] = "cosine"
    guide: str | None = None
    epochs: float | None = None
    max_steps: int | None = None
    max_tokens: int | None = None
    max_length: int | None = None
    batch_size: int | None = None
    mini_batch_tokens: int | None = None
    learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    dropout: float = 0.0
    negatives: int | None = None
    per_query: int | None = 8
    share: float | None = None
    matryoshka: tuple[int, ...] = ()
    lora: LoraOptions | None = None
    evaluations: int = 5
    patience: int = 3
    precision: Precision = "auto"
    dev_documents: int = 2000
    dev_queries: int = 300


JobKind = Literal["fine-tune", "probe", "adapt", "distil", "rerank"]


@dataclass(frozen=True)
class TrainingJob:
    """One run of ``python -m embedlib.training job.json``: inputs, options and where to write.

    Args:
        kind: What is to be done.
        model: Folder of the model to start from.
        out: Folder for the result, made by the run.
        scratch: Folder for checkpoints; a run that finds a sound one resumes from it.
        seed: Seed of every random choice.
        inputs: Folders of the artifacts it reads, by name (corpus, queries, examples, teacher …).
        options: The kind's options as JSON values.
        provenance: What goes into the model's ``provenance.json`` besides the options.
        checkpoint_s: Seconds between checkpoints.
    """

    kind: JobKind
    model: str
    out: str
    scratch: str
    seed: int
    inputs: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    checkpoint_s: float = 60.0

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> TrainingJob:
        """Read a job.

        Raises:
            TrainingError: The file is missing or is not a job.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, json.JSONDecodeError, TypeError) as error:
            raise TrainingError("not a training job", where=str(path), found=str(error)) from error


def train_options(values: dict[str, Any]) -> TrainOptions:
    """TrainOptions from JSON values."""
    return TypeAdapter(TrainOptions).validate_python(values)


class World(NamedTuple):
    """Set by ``torchrun`` or ``accelerate launch`` through the environment.

    Args:
        rank: This process's number among all.
        size: Number of processes.
        local_rank: This process's number on its machine, which is its GPU's.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this process evaluates, saves and reports."""
        return self.rank == 0

    @classmethod
    def from_environment(cls) -> World:
        """RANK, WORLD_SIZE and LOCAL_RANK; a single process when they are not set."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        rank, size, local = (
            int(os.environ.get(name, default)) for name, default in zip(names, "010", strict=True)
        )
        return cls(rank, size, local)


PREFIX = '{"event": '
EVERY_S = 0.5
_told: dict[str, float] = {}


def emit(event: str, **values: Any) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def parse_event(line: str) -> dict[str, Any] | None:
    """The event on a line of output; None for any other line."""
    if not line.startswith(PREFIX):
        return None
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def emit_error(error: EmbedlibError) -> None:
    """Tell the parent which typed error ended the run."""
    aspects = {name: getattr(error, name) for name in ("what", "where", "expected", "found", "remedy")}
    emit("error", type=type(error).__name__, problems=getattr(error, "problems", None), **aspects)


def error_of(event: dict[str, Any]) -> EmbedlibError:
    """The typed error that an error event tells of."""
    kind = getattr(errors, str(event.get("type")), TrainingError)
    where, remedy = str(event.get("where", "")), str(event.get("remedy", ""))
    if kind is errors.ConfigError:
        return errors.ConfigError(event.get("problems") or [], where=where, remedy=remedy)
    return kind(
        str(event["what"]),
        where=where,
        expected=str(event.get("expected", "")),
        found=str(event.get("found", "")),
        remedy=remedy,
    )


def report_progress(done: int, total: int | None, what: str) -> None:
    """Progress (see ``embedlib.progress``) told to the parent, at most twice a second."""
    now = time.monotonic()
    if done == total or now - _told.get(what, 0.0) >= EVERY_S:
        _told[what] = now
        emit("progress", done=done, total=total, what=what)
