"""Options of training: the probe, adaptation, fine-tuning, distillation and merging."""

from __future__ import annotations

from typing import Literal

from embedlib.config.base import OPERATIONAL, Field, Section, SilenceLimit, TimeLimit, TrainingPrecision
from embedlib.training.options import LoraOptions, LossName, TrainOptions


class Lora(Section):
    """Low-rank adapters instead of all weights."""

    rank: int = Field(LoraOptions.rank, ge=1, le=512)
    """Rank of the adapters."""
    alpha: int = Field(LoraOptions.alpha, ge=1, le=1024)
    """Scaling numerator; the adapters' output is multiplied by alpha / rank."""
    dropout: float = Field(LoraOptions.dropout, ge=0, lt=1)
    """Dropout on the adapters' input."""


class Train(Section):
    """Fine-tuning on the mined examples."""

    start: Literal["base", "incumbent"] = Field(default="base", json_schema_extra=OPERATIONAL)
    """Which weights training starts from: the base model's, or the live release's (warm start)."""
    loss: LossName = TrainOptions.loss
    """Loss; auto: KL to the teacher when the examples come with one, else in-batch ranking."""
    scale: float | None = Field(TrainOptions.scale, gt=0, le=1000)
    """Inverse temperature of similarities (20 is a temperature of 0.05); null: the loss's default."""
    margin: float | None = Field(TrainOptions.margin, gt=0)
    """Margin of triplet and contrastive losses; null: the loss's default."""
    distance: Literal["cosine", "euclidean"] = TrainOptions.distance
    """Distance of the triplet loss."""
    guide: str | None = TrainOptions.guide
    """Model that filters false negatives of the GIST losses; null: the model itself before training."""
    epochs: float | None = Field(TrainOptions.epochs, gt=0, le=100)
    """Passes over the examples; null: 1 where a teacher teaches, else 3 under 1,000 examples, 2 under
    10,000, and 1 otherwise."""
    max_steps: int | None = Field(TrainOptions.max_steps, ge=1)
    """Upper bound of optimiser steps; null: 40 where a teacher teaches, else none."""
    max_tokens: int | None = Field(TrainOptions.max_tokens, ge=1000)
    """Upper bound of the tokens of all steps; null: 400,000 where a teacher teaches, which is minutes on
    two cores, else 3,000,000 on a CPU, three quarters of an hour there, and none on a GPU."""
    max_length: int | None = Field(TrainOptions.max_length, ge=8, le=8192)
    """Tokens of a text that training reads; null: 128 where a teacher teaches, else what the model reads."""
    batch_size: int | None = Field(TrainOptions.batch_size, ge=2, le=65536)
    """Queries a step over all processes; all documents of the batch are candidates of each. null: 16
    with a teacher, where each query brings four of its own, else 64."""
    mini_batch_tokens: int | None = Field(TrainOptions.mini_batch_tokens, ge=64)
    """Tokens embedded at once; null: what fits the memory."""
    learning_rate: float | None = Field(TrainOptions.learning_rate, gt=0, le=1)
    """Peak learning rate; null: 2e-5 for distillation and for models of 50 million weights or more,
    5e-5 for smaller ones, 2e-4 with LoRA."""
    warmup: float = Field(TrainOptions.warmup, ge=0, le=0.9)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(TrainOptions.weight_decay, ge=0, le=1)
    """AdamW weight decay."""
    dropout: float = Field(TrainOptions.dropout, ge=0, lt=1)
    """Dropout in training; 0 keeps attention in fused kernels, several times as fast on a CPU."""
    max_grad_norm: float = Field(TrainOptions.max_grad_norm, ge=0)
    """Gradient clipping norm; 0 is off."""
    negatives: int | None = Field(TrainOptions.negatives, ge=0, le=64)
    """Hard negatives per example, at most; null: 3 with a teacher, whose scores say how relevant they
    are, else 1: labels are rarely complete, and a false negative costs more than a true one brings; none
    for derived pairs, which nobody judged."""
    per_query: int | None = Field(TrainOptions.per_query, ge=1)
    """Maximum examples of one query per epoch, chosen anew in each epoch; null: all. Its other known
    positives still count as positives wherever they stand in a batch."""
    share: float | None = Field(TrainOptions.share, gt=0, le=1)
    """Share of the trained weights in the result; the rest are those that training started from. null: of a
    quarter, a half, three quarters and all, the best on people's dev queries; without such queries all where
    most examples are labelled, else a half."""
    matryoshka: tuple[int, ...] = TrainOptions.matryoshka
    """Smaller dimensions trained besides the full one, for example [192, 96]."""
    lora: Lora | None = None
    """Train low-rank adapters and merge them into the weights at the end; null: train all weights."""
    evaluations: int = Field(TrainOptions.evaluations, ge=1, le=30)
    """Evaluations on people's dev queries: after the last step, half of the steps, a quarter and so on; the
    best is kept. Without such queries, and with a teacher, the weights at the end are."""
    patience: int = Field(TrainOptions.patience, ge=0)
    """Stop after this many evaluations without a better one; 0: never."""
    precision: Literal["auto", "fp32", "bf16"] = TrainOptions.precision
    """bf16: bf16 autocast over fp32 weights; auto: where the hardware is faster at it."""
    dev_documents: int = Field(TrainOptions.dev_documents, ge=10)
    """Documents searched in on dev: the judged ones, filled up with others."""
    dev_queries: int = Field(TrainOptions.dev_queries, ge=10)
    """Dev queries used to choose the checkpoint, at most."""
    checkpoint_s: float = Field(default=60.0, ge=0, json_schema_extra=OPERATIONAL)
    """Seconds between checkpoints; a killed run goes on from the last one."""
    processes: int = Field(default=1, ge=1, le=64, json_schema_extra=OPERATIONAL)
    """Training processes on this machine (torchrun), one per GPU."""
    timeout_s: TimeLimit = None
    stall_s: SilenceLimit = 1800


class Adapt(Section):
    """Unsupervised domain adaptation before fine-tuning."""

    method: Literal["none", "mlm", "tsdae"] = "none"
    """mlm: masked tokens; tsdae: rebuilding a text from the embedding of its damaged form."""
    epochs: float = Field(default=1.0, gt=0, le=100)
    """Passes over the documents."""
    max_documents: int = Field(default=20000, ge=10)
    """Documents trained on, at most; a random choice."""
    batch_size: int = Field(default=32, ge=2, le=4096)
    """Documents per step."""
    learning_rate: float = Field(default=3e-5, gt=0, le=1)
    """Peak learning rate."""
    max_length: int = Field(default=128, ge=8, le=8192)
    """Tokens of a document that are used."""
    precision: TrainingPrecision = "auto"
    timeout_s: TimeLimit = None
    stall_s: SilenceLimit = 1800


class Merge(Section):
    """Interpolation of the tuned weights with the base's."""

    shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares of the tuned model that are tried."""
    tolerance: float = Field(default=0.005, ge=0, le=1)
    """How far below the best share's dev nDCG@10 the chosen share may lie: the smallest such share wins."""


class Distil(Section):
    """A smaller student, served instead of its teacher where it is proven to keep enough of it."""

    objective: Literal["quality", "balanced", "speed"] = "quality"
    """What the release is to be best at. quality: no student. balanced: a student with half of the layers.
    speed: a static one, a table of token vectors. It goes live only if it is proven to keep ``keep``."""
    student: str | None = None
    """Another student than the objective's: layers, static, or a smaller model by name or folder."""
    layers: int | None = Field(default=None, ge=1)
    """Layers of the teacher that a student of kind layers keeps, evenly spaced; null: half of them."""
    keep: float | None = Field(default=None, gt=0, le=1)
    """Share of the teacher's primary measure, as served, that the student must be proven to keep;
    null: 0.95 for balanced, 0.8 for speed."""
    epochs: float | None = Field(default=None, gt=0, le=100)
    """Passes over the texts; null: one to five by the corpus's size, of a static student 10."""
    max_documents: int = Field(default=50000, ge=10)
    """Documents trained on, at most; a random choice."""
    batch_size: int = Field(default=64, ge=2, le=4096)
    """Texts per step."""
    ranking: float = Field(default=1.0, ge=0, le=100)
    """Weight of the teacher's ranking of a batch's texts beside the distance to its vectors."""
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Peak learning rate; null: 3e-4, of a static student 3e-3."""
    precision: TrainingPrecision = "auto"
    timeout_s: TimeLimit = None
    stall_s: SilenceLimit = 1800

    @property
    def training(self) -> Distil:
        """The same without what does not change the student: it is not trained anew for another margin."""
        return self.model_copy(update={"objective": "quality", "student": self.kind, "keep": None})

    @property
    def kind(self) -> str:
        """Which student: the one named, else the objective's."""
        return self.student or ("static" if self.objective == "speed" else "layers")

    @property
    def share(self) -> float:
        """Share of the teacher to keep: the one given, else the objective's."""
        return self.keep or (0.8 if self.objective == "speed" else 0.95)


class Probe(Section):
    """Short trainings on dev that drop pair origins which do harm."""

    enabled: bool = True
    """Whether to probe; only done where labels are mixed with other origins and there is a judged dev set."""
    pairs: int = Field(default=512, ge=16, le=100_000)
    """Pairs of an origin that are trained on, at most."""
    batch_size: int = Field(default=32, ge=2, le=4096)
    """Pairs per step."""
    learning_rate: float = Field(default=2e-5, gt=0, le=1)
    """Peak learning rate."""
    margin: float = Field(default=0.01, ge=0, le=1)
    """An origin that loses more than this on dev is dropped, whatever its interval."""
    timeout_s: float | None = Field(default=None, gt=0, json_schema_extra=OPERATIONAL)
    """Longest training of one origin in seconds; null: no limit."""
    stall_s: SilenceLimit = 1800
