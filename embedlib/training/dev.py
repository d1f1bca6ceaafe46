"""Evaluations on dev during training: the curve, the best weights, early stopping."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from embedlib.disk import write_atomic
from embedlib.training.trainer import shared

logger = logging.getLogger(__name__)


class DevPoint(NamedTuple):
    """Mean dev nDCG@10 after a number of steps."""

    step: int
    value: float


class DevWatch(TrainerCallback):  # type: ignore[misc]
    """Scores the model at given steps and keeps the weights that scored best.

    Args:
        model: The model in training.
        score: Gives the dev figure of the model as it is.
        steps: Steps after which to score.
        scratch: Folder for the curve and for the weights of every record; both survive a crash, and
            a run that resumes from an earlier checkpoint finds the record of that time.
        patience: Stop after this many scores without a better one; 0 never stops.
        main: Whether this process scores and saves (the first of a distributed run).
        on_point: Callback for every point.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        score: Callable[[], float],
        steps: Sequence[int],
        scratch: Path,
        *,
        patience: int = 0,
        main: bool = True,
        on_point: Callable[[DevPoint], None] = lambda point: None,
    ) -> None:
        self.model, self.score, self.steps, self.scratch = model, score, frozenset(steps), scratch
        self.patience, self.main, self.on_point = patience, main, on_point
        self.points: list[DevPoint] = []

    @property
    def best(self) -> DevPoint | None:
        """The first of the best points after step 0; None before there is one."""
        return max((p for p in self.points if p.step > 0), key=lambda p: p.value, default=None)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the curve of an interrupted run, or score the model before training."""
        path = self.scratch / "dev.json"
        if state.global_step and path.is_file():
            kept = [DevPoint(*p) for p in json.loads(path.read_text(encoding="utf-8"))]
            self.points = [p for p in kept if p.step <= state.global_step]
            for point in self.points if self.main else ():
                self.on_point(point)
        if not self.points:
            self._add(0)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Score when it is time."""
        if state.global_step not in self.steps:
            return
        self._add(state.global_step)
        if self.best is not None and self.best.step == state.global_step:
            self._keep(state.global_step)
        after = [p for p in self.points if self.best and p.step > self.best.step]
        if self.patience and len(after) >= self.patience:
            logger.info("no better dev figure in %d evaluations: stopping early", self.patience)
            control.should_training_stop = True

    def restore_best(self) -> None:
        """Load the weights that scored best, if any were kept."""
        if self.best is not None:
            self.model.load_state_dict(load_file(self._weights(self.best.step)))

    def _add(self, step: int) -> None:
        value = shared(self.score() if self.main else math.nan)
        self.points.append(DevPoint(step, value))
        if self.main:
            write_atomic(self.scratch / "dev.json", json.dumps(self.points))
            self.on_point(self.points[-1])

    def _keep(self, step: int) -> None:
        if not self.main:
            return
        path = self._weights(step)
        temporary = path.with_suffix(".tmp")
        state = {name: value.detach().contiguous().clone() for name, value in self.model.state_dict().items()}
        save_file(state, temporary)
        temporary.replace(path)

    def _weights(self, step: int) -> Path:
        return self.scratch / f"best-{step}.safetensors"


def evaluation_steps(total: int, evaluations: int) -> list[int]:
    """Steps at which to evaluate: the last one, half of it, a quarter and so on.

    Training that does harm mostly helps at first: weak pairs stop helping within a few dozen steps.

    >>> evaluation_steps(160, 5)
    [10, 20, 40, 80, 160]
    """
    return sorted({max(1, round(total / 2**i)) for i in range(evaluations)})
