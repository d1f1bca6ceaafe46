"""sentence-transformers' trainer with our batches, a watch on the loss and sealed checkpoints."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.base.trainer import BaseTrainer
from sentence_transformers.cross_encoder import CrossEncoderTrainer
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from embedlib.disk import write_atomic
from embedlib.errors import CorruptArtifact, NonFiniteLoss
from embedlib.integrity import FileEntry, file_entries, require_files
from embedlib.progress import Progress
from embedlib.training.lora import has_adapters

logger = logging.getLogger(__name__)

SEAL = "sealed.json"
ENTRIES = TypeAdapter(dict[str, FileEntry])
PREFIX = "checkpoint-"


def seal(checkpoint: Path) -> None:
    """Note every file's size and checksum, which makes the checkpoint one to resume from."""
    (checkpoint / SEAL).unlink(missing_ok=True)
    write_atomic(checkpoint / SEAL, ENTRIES.dump_json(file_entries(checkpoint)))


def is_sound(checkpoint: Path) -> bool:
    """Whether the checkpoint was sealed and is byte for byte what was sealed."""
    try:
        entries = ENTRIES.validate_json((checkpoint / SEAL).read_bytes())
        require_files(checkpoint, entries)
    except (OSError, ValueError, CorruptArtifact):
        return False
    return bool(entries)


def latest_sound(folder: Path) -> Path | None:
    """The newest checkpoint that is sound; damaged ones are removed with a warning."""
    for checkpoint in sorted(folder.glob(f"{PREFIX}*"), key=step_of, reverse=True):
        if is_sound(checkpoint):
            return checkpoint
        logger.warning("checkpoint %s is damaged or unfinished; trying the one before", checkpoint.name)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def step_of(checkpoint: Path) -> int:
    """Optimiser steps done at a checkpoint, -1 if its name does not say."""
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if number.isdigit() else -1


#: Losses that may wait on a GPU before they are looked at: no host sync a step.
WAITING = 8
#: File of a checkpoint with the loss's own weights.
LOSS_STATE = "loss.safetensors"


class SealedTrainer(BaseTrainer):  # type: ignore[misc]
    """Trains on batches of example positions.

    Args:
        batches: The batch sampler.
        names: Query or document id of each example, for messages.
        options: Everything the library's trainer takes.
    """

    def __init__(self, *, batches: DefaultBatchSampler, names: Sequence[str], **options: Any) -> None:
        self.batches = batches
        self.names = names
        self._waiting: deque[tuple[int, list[int], Tensor]] = deque()
        super().__init__(**options)

    def get_batch_sampler(self, *args: Any, **kwargs: Any) -> DefaultBatchSampler:
        """Our own batches, whatever the training arguments say."""
        return self.batches

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No automatic card: it holds dates and machine names, and the model's bytes shall not."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The batch's loss, looked at for NaN and infinity before it does harm that lasts."""
        indices = inputs.pop("indices")
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self._waiting.append((self.state.global_step + 1, indices, loss.detach()))
        if loss.device.type == "cpu" or len(self._waiting) >= WAITING:
            self.look_at_losses()
        return loss

    def look_at_losses(self) -> None:
        """Look at the losses that wait.

        Raises:
            NonFiniteLoss: One is NaN or infinite; names the step and the batch's examples.
        """
        while self._waiting:
            step, indices, loss = self._waiting.popleft()
            value = float(loss)
            if not math.isfinite(value):
                raise non_finite(step, [self.names[int(i)] for i in indices], value)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save, then seal: what is not sealed is never resumed from."""
        self.look_at_losses()
        folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX}{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                if state := self._own_state():
                    save_file(state, folder / LOSS_STATE)
                seal(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        if not has_adapters(self.model):
            super()._load_from_checkpoint(checkpoint_path)
        path = Path(checkpoint_path) / LOSS_STATE
        if path.is_file():
            self.loss.load_state_dict(load_file(path), strict=False)

    def _own_state(self) -> dict[str, Tensor]:
        """What the model's folder does not hold: decoders and heads of the loss, adapters."""
        state = self.loss.state_dict(keep_vars=True)
        inside = (
            set()
            if has_adapters(self.model)
            else {id(p) for p in self.model.state_dict(keep_vars=True).values()}
        )
        return {name: p.detach().contiguous() for name, p in state.items() if id(p) not in inside}


class EmbeddingTrainer(SealedTrainer, SentenceTransformerTrainer):  # type: ignore[misc]
    """Trains an embedding model."""


class RerankerTrainer(SealedTrainer, CrossEncoderTrainer):  # type: ignore[misc]
    """Trains a cross-encoder."""


def non_finite(step: int, names: Sequence[str], value: float) -> NonFiniteLoss:
    """The error for a loss that is not a number."""
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return NonFiniteLoss(
        f"the loss became {value} at step {step}",
        where=f"examples of the batch: {shown}",
        expected="a finite loss",
        remedy="lower train.learning_rate, set train.precision=fp32, or look at these examples; the last "
        "good checkpoint is kept",
    )


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells listeners of steps and losses.

    Args:
        progress: Progress callback: steps.
        on_loss: Callback for every mean loss with its step, of an interrupted run's too where it goes on.
    """

    def __init__(self, progress: Progress, on_loss: Callable[[int, float], None] = lambda *_: None) -> None:
        self.progress, self.on_loss = progress, on_loss
        self.losses: list[dict[str, float]] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the losses of an interrupted run."""
        for logs in state.log_history:
            self._add(int(logs["step"]), logs)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A step is done."""
        self.progress(state.global_step, state.max_steps, "training steps")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Mean loss since the last log."""
        self._add(state.global_step, logs or {})

    def _add(self, step: int, logs: Mapping[str, float]) -> None:
        if "loss" in logs:
            self.losses = [e for e in self.losses if e["step"] < step]
            self.losses.append({"step": float(step), "loss": logs["loss"]})
            self.on_loss(step, logs["loss"])


class Checkpoints(TrainerCallback):  # type: ignore[misc]
    """Asks for a checkpoint when the last one is old enough; when it is taken changes no result.

    Args:
        every_s: Seconds between checkpoints; 0 takes one at every step.
    """

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._last = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A step is done; processes of a distributed run go by the first one's clock."""
        due = shared(time.monotonic() - self._last >= self.every_s)
        if due and state.global_step < state.max_steps:
            self._last = time.monotonic()
            control.should_save = True


def shared(value: Any) -> Any:
    """The first process's value, in every process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    values = [value]
    torch.distributed.broadcast_object_list(values, src=0)
    return values[0]
