"""The training loop that every kind of training here shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder, SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments
from transformers import PrinterCallback, TrainerCallback

from embedlib.contracts import Corpus
from embedlib.evaluation.dev import DevSet
from embedlib.models.local import LocalEncoder
from embedlib.training.dev import DevWatch, evaluation_steps
from embedlib.training.options import TrainOptions, World, emit, report_progress
from embedlib.training.sampler import ExampleBatches
from embedlib.training.trainer import (
    Checkpoints,
    EmbeddingTrainer,
    RerankerTrainer,
    SealedTrainer,
    Watch,
    latest_sound,
)

#: Logged losses a run.
LOGS = 50


@dataclass(frozen=True)
class TrainingRecipe:
    """What is trained on and how.

    Args:
        loss: Module that gives a batch's loss; it holds the model in training.
        positions: Value of each item's ``index``.
        sampler: Groups items.
        collate: Makes tensors of a group.
        names: Name of each position, for messages.
        steps: Optimiser steps.
        learning_rate: Peak rate; falls linearly to 0.
        bf16: bf16 autocast over fp32 weights.
        warmup: Share of the steps with rising rate.
        weight_decay: AdamW's weight decay.
        max_grad_norm: Clipping norm; 0 is off.
        checkpoint_s: Seconds between checkpoints; None takes none.
        accumulated: Groups whose gradients make one step.
    """

    loss: torch.nn.Module
    positions: list[int]
    sampler: ExampleBatches
    collate: Callable[[list[dict[str, int]]], dict[str, Any]]
    names: Sequence[str]
    steps: int
    learning_rate: float
    bf16: bool
    warmup: float = TrainOptions.warmup
    weight_decay: float = TrainOptions.weight_decay
    max_grad_norm: float = TrainOptions.max_grad_norm
    checkpoint_s: float | None = None
    accumulated: int = 1


def train(
    module: SentenceTransformer | CrossEncoder,
    recipe: TrainingRecipe,
    scratch: Path,
    *,
    seed: int,
    dev: DevWatch | None = None,
    world: World = World(),  # noqa: B008 (immutable)
) -> Watch:
    """Train, going on from the newest sound checkpoint in ``scratch``.

    Args:
        module: The model in training, changed in place.
        recipe: What is trained on and how.
        scratch: Folder of the checkpoints.
        seed: Seed of dropout; the sampler has its own.
        dev: Scores the model on the way.
        world: The processes.

    Returns:
        The losses on the way.

    Raises:
        NonFiniteLoss: The loss became NaN or infinite.
    """
    watch = Watch(
        report_progress, lambda step, loss: emit("loss", step=step, value=loss) if world.main else None
    )
    callbacks = [watch, *([dev] if dev else [])]
    if recipe.checkpoint_s is not None:
        callbacks.append(Checkpoints(recipe.checkpoint_s))
    trainer = build_trainer(module, recipe, scratch, seed=seed, callbacks=callbacks, world=world)
    checkpoint = latest_sound(scratch)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.look_at_losses()
    return watch


def build_trainer(
    module: SentenceTransformer | CrossEncoder,
    recipe: TrainingRecipe,
    scratch: Path,
    *,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
    world: World = World(),  # noqa: B008 (immutable)
) -> SealedTrainer:
    """The trainer of a recipe; arguments as in ``train``."""
    pairs = isinstance(module, CrossEncoder)
    arguments = CrossEncoderTrainingArguments if pairs else SentenceTransformerTrainingArguments
    trainer = (RerankerTrainer if pairs else EmbeddingTrainer)(
        batches=recipe.sampler,
        names=recipe.names,
        model=module,
        args=arguments(**_arguments(recipe, scratch, seed, world)),
        train_dataset=Dataset.from_dict({"index": recipe.positions}),
        loss=recipe.loss,
        data_collator=recipe.collate,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(recipe: TrainingRecipe, scratch: Path, seed: int, world: World) -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(scratch),
        "seed": seed,
        "max_steps": recipe.steps,
        "per_device_train_batch_size": -(-recipe.sampler.batch_size // world.size),
        "gradient_accumulation_steps": recipe.accumulated,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": math.ceil(recipe.steps * recipe.warmup),
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "bf16": recipe.bf16,
        "optim": "adamw_torch_fused",
        "logging_steps": max(1, recipe.steps // LOGS),
        "logging_nan_inf_filter": False,
        "save_strategy": "no",  # when to save is the callback's to say
        "save_total_limit": 2,
        "eval_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,  # a forked child of a process with Prefect or CUDA in it dies
        "dataloader_pin_memory": cuda,
        "use_cpu": not cuda,
        "ddp_find_unused_parameters": True,  # a pooler that sentence embeddings leave out
    }


def read_dev(
    inputs: Mapping[str, str | Path], seed: int, documents: int = 3000, most_queries: int = 300
) -> DevSet | None:
    """The dev set of a run: the same choice for the same seed, whatever is trained.

    Args:
        inputs: Folders of the artifacts ``corpus`` and ``queries``.
        seed: The run's seed.
        documents: Documents searched in.
        most_queries: Maximum queries.
    """
    corpus, queries = (Path(inputs[name]) for name in ("corpus", "queries"))
    rng = np.random.default_rng([seed, *b"dev"])
    return DevSet.read(Corpus(corpus), queries, size=documents, most_queries=most_queries, rng=rng)


def dev_score(dev: DevSet, encoder: LocalEncoder, *, bf16: bool) -> tuple[float, Any]:
    """Mean dev nDCG@10 and its value per query, of a model in training, under autocast where it trains so."""
    encoder.module.eval()
    if encoder.accelerated:
        encoder.accelerate()  # the packed copy is of the weights before training
    with torch.autocast(encoder.module.device.type, dtype=torch.bfloat16, enabled=bf16):
        return dev.score(encoder)


def dev_watch(
    dev: DevSet | None,
    encoder: LocalEncoder,
    *,
    steps: int,
    evaluations: int,
    scratch: Path,
    bf16: bool,
    patience: int = 0,
    world: World = World(),  # noqa: B008 (immutable)
) -> DevWatch | None:
    """A callback that scores the model at ``evaluation_steps``; None without a dev set."""
    if dev is None:
        return None
    return DevWatch(
        encoder.module,
        lambda: dev_score(dev, encoder, bf16=bf16)[0],
        evaluation_steps(steps, evaluations),
        scratch,
        patience=patience,
        main=world.main,
        on_point=lambda point: emit("dev", step=point.step, value=point.value),
    )
