"""Training arguments that hold for every kind of training here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainingArguments


def training_arguments(  # noqa: PLR0913 (the trainer's own options, each of them a number)
    scratch: Path,
    *,
    seed: int,
    steps: int,
    per_process: int,
    learning_rate: float,
    warmup: float,
    weight_decay: float,
    max_grad_norm: float,
    bf16: bool,
    save_every: int,
) -> SentenceTransformerTrainingArguments:
    """Arguments for ``steps`` optimiser steps with linear decay, checkpoints and no reporting.

    Args:
        scratch: Folder of the checkpoints.
        seed: Seed of the trainer.
        steps: Optimiser steps of the whole run.
        per_process: Examples a step and process.
        learning_rate: Peak learning rate.
        warmup: Share of the steps with rising rate.
        weight_decay: AdamW's weight decay.
        max_grad_norm: Clipping norm; 0 is off.
        bf16: bf16 autocast over fp32 weights.
        save_every: Steps between checkpoints.
    """
    cuda = torch.cuda.is_available()
    hardware: dict[str, Any] = {"use_cpu": not cuda, "dataloader_pin_memory": cuda}
    return SentenceTransformerTrainingArguments(
        output_dir=str(scratch),
        seed=seed,
        data_seed=seed,
        max_steps=steps,
        per_device_train_batch_size=per_process,
        learning_rate=learning_rate,
        warmup_steps=math.ceil(steps * warmup),
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        bf16=bf16,
        optim="adamw_torch_fused",
        logging_strategy="steps",
        logging_steps=max(1, steps // 50),
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=save_every,
        save_total_limit=2,
        eval_strategy="no",
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_num_workers=0,
        ddp_find_unused_parameters=False,
        **hardware,
    )
