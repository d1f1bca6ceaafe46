"""What a training run is told: plain values, written to ``job.json`` and read by the child process."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from embedlib.errors import TrainingError

#: Losses by the shape of the data they need; see ``embedlib.training.shapes``.
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


JobKind = Literal["fine-tune", "probe", "adapt", "distil"]


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
    """TrainOptions from JSON values (lists become tuples, the LoRA section its own object)."""
    lora = values.get("lora")
    return TrainOptions(
        **{
            **values,
            "matryoshka": tuple(values.get("matryoshka", ())),
            "lora": LoraOptions(**lora) if lora else None,
        }
    )
