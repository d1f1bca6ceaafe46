"""A training step against SentenceTransformerTrainer's defaults, on the same pairs in the same batches.

    python -m benchmarks.training [--steps 6] [--rounds 3] [--batch 64]

Both sides fine-tune all-MiniLM-L6-v2 with in-batch ranking on summary -> body pairs of the standard
library's docstrings and take turns. Dropout is off, so that the loss of every step can be compared:
the run fails when it differs by more than bf16 explains. Wanted: at least 2 times the pairs a second
on a CPU with bf16 in hardware.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import PrinterCallback

from benchmarks.workspace import arguments, machine
from embedlib.corpus.docstrings import docstring_documents, standard_library
from embedlib.corpus.records import Record
from embedlib.memory import peak_memory_mb, reset_peak_memory
from embedlib.models.hardware import resolve_precision
from embedlib.models.local import load_encoder
from embedlib.models.resolve import resolve_model
from embedlib.training.backbone import faster_steps
from embedlib.training.batches import make_batches
from embedlib.training.data import TrainingSet
from embedlib.training.loop import TrainingRecipe, build_trainer
from embedlib.training.losses import build_loss
from embedlib.training.options import TrainOptions
from embedlib.training.trainer import Watch

MODEL = "all-MiniLM-L6-v2"
#: Largest difference of the first loss, and of the last, that bf16 explains.
FIRST_LOSS, LAST_LOSS = 0.02, 0.05


class Turn(NamedTuple):
    """One side's turn: seconds, peak memory in MiB, loss of every step."""

    seconds: float
    memory_mb: float
    losses: list[float]


def main() -> int:
    """Let both sides take turns and compare."""
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=6, help="optimiser steps a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--batch", type=int, default=64, help="pairs a step")
    options = parser.parse_args()
    data = docstring_pairs(options.steps * options.batch)
    versions = machine("torch", "sentence-transformers", "transformers")
    print(versions, f"bf16 in hardware: {resolve_precision('auto') == 'bf16'}", sep="\n")
    turns: dict[str, list[Turn]] = {"defaults": [], "embedlib": []}
    for _ in range(options.rounds):
        turns["defaults"].append(take_turn(theirs, data, options.steps, options.batch))
        turns["embedlib"].append(take_turn(ours, data, options.steps, options.batch))
    return report(turns, options.steps * options.batch)


def docstring_pairs(count: int) -> TrainingSet:
    """The first ``count`` summary -> body pairs as a training set without negatives."""
    found = (item for item in docstring_documents([standard_library()]) if isinstance(item, Record))
    records = [record for record, _ in zip(found, range(count), strict=False)]
    n = np.arange(len(records))
    return TrainingSet(
        queries=[r.title for r in records],
        documents=[r.text for r in records],
        rows=n,
        positives=n,
        negatives=np.empty((len(records), 0), dtype=np.int64),
        relevant=[frozenset({int(i)}) for i in n],
        names=[r.doc_id for r in records],
        numbers=n,
    )


def take_turn(side: Any, data: TrainingSet, steps: int, batch: int) -> Turn:
    """One side's training of a fresh model: wall time of ``train()``, tokenisation included."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, watch = side(data, steps, batch, Path(folder))
        trainer.args.save_strategy = "no"
        trainer.args.logging_steps = trainer.state.logging_steps = 1
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        reset_peak_memory()
        started = time.perf_counter()
        trainer.train()
        return Turn(time.perf_counter() - started, peak_memory_mb(), [e["loss"] for e in watch.losses])


def ours(data: TrainingSet, steps: int, batch: int, folder: Path) -> tuple[Any, Watch]:
    """Embedlib's loop: bf16 autocast where there is bf16, texts of like length embedded together."""
    encoder = load_encoder(MODEL, device="cpu")
    batches = make_batches("mnrl", data, encoder, batch_size=batch, seed=0)
    loss = build_loss("mnrl", encoder.module, TrainOptions(), mini_batch_tokens=8192, cached=False)
    bf16 = resolve_precision("auto") == "bf16"
    faster_steps(encoder.module, bf16=bf16)
    watch = Watch(lambda done, total, what: None)
    parts = (batches.positions, batches.sampler, batches.collate, data.names)
    recipe = TrainingRecipe(loss, *parts, steps, 5e-5, bf16, warmup=0.0, weight_decay=0.0)
    return build_trainer(encoder.module, recipe, folder, seed=0, callbacks=[watch]), watch


def theirs(data: TrainingSet, steps: int, batch: int, folder: Path) -> tuple[Any, Watch]:
    """SentenceTransformerTrainer with its defaults, on the same batches."""
    model = SentenceTransformer(str(resolve_model(MODEL)), device="cpu")
    planned = make_batches("mnrl", data, load_encoder(MODEL, device="cpu"), batch_size=batch, seed=0).sampler

    class SameBatches(DefaultBatchSampler):
        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter(planned)

        def __len__(self) -> int:
            return len(planned)

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=batch,
        batch_sampler=SameBatches,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    watch = Watch(lambda done, total, what: None)
    documents = [data.documents[p] for p in data.positives]
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"anchor": data.queries, "positive": documents}),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, watch


def report(turns: dict[str, list[Turn]], pairs: int) -> int:
    """Print medians and ratios; 1 when the losses differ."""
    speed = {name: pairs / statistics.median(t.seconds for t in found) for name, found in turns.items()}
    for name, found in turns.items():
        losses = " ".join(f"{value:.4f}" for value in found[0].losses)
        memory = statistics.median(t.memory_mb for t in found)
        print(f"{name:10} {speed[name]:7.2f} pairs/s  peak {memory:6.0f} MiB  losses {losses}")
    ratios = [a.seconds / b.seconds for a, b in zip(turns["defaults"], turns["embedlib"], strict=True)]
    print(f"embedlib / defaults: {statistics.median(ratios):.2f} times the pairs a second")
    first, last = (_difference(turns, at) for at in (0, -1))
    print(f"difference of the loss: first step {first:.2%}, last step {last:.2%}")
    if first > FIRST_LOSS or last > LAST_LOSS:
        print(f"FAILED: allowed are {FIRST_LOSS:.0%} and {LAST_LOSS:.0%}")
        return 1
    return 0


def _difference(turns: dict[str, list[Turn]], at: int) -> float:
    theirs, ours = (turns[name][0].losses[at] for name in ("defaults", "embedlib"))
    return abs(ours - theirs) / theirs


if __name__ == "__main__":
    sys.exit(main())
