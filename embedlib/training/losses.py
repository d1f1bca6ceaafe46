"""Losses by name: each with the shape of the data it needs, checked before training starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedlib.errors import ConfigError, DataError
from embedlib.training.data import TrainingSet
from embedlib.training.options import LossName, TrainOptions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor, nn

#: in-batch: queries and the batch's distinct documents; tuple: anchor, positive, negatives;
#: pair: two texts and a label.
Shape = Literal["in-batch", "tuple", "pair"]


@dataclass(frozen=True)
class LossSpec:
    """What a loss needs and its defaults.

    Args:
        shape: Data shape.
        scale: Default inverse temperature, if it has one.
        needs_negatives: Every example needs a hard negative.
        needs_teacher: Every text of an example needs a teacher's score.
        cached: Gradient caching: memory for time.
        most_negatives: Negatives of an example that it can use.
        batch_size: Default examples per step.
        max_steps: Default bound of the steps, if it has one.
        max_tokens: Default bound of the tokens of all steps, if it has one.
        max_length: Default tokens of a text; None is all that the model reads.
    """

    shape: Shape
    scale: float | None = None
    needs_negatives: bool = False
    needs_teacher: bool = False
    cached: bool = False
    most_negatives: int = 64
    batch_size: int = 64
    max_steps: int | None = None
    max_tokens: int | None = None
    max_length: int | None = None


LOSSES: dict[str, LossSpec] = {
    "mnrl": LossSpec("in-batch", scale=20.0),
    "symmetric-mnrl": LossSpec("in-batch", scale=20.0),
    "cached-mnrl": LossSpec("in-batch", scale=20.0, cached=True),
    # Minutes on two cores: longer trainings by a teacher were seen to harm a base model that is good already.
    # Each query brings its own candidates, and 128 tokens teach as much as 256.
    "kl": LossSpec("in-batch", scale=20.0, batch_size=16, max_steps=40, max_tokens=400_000, max_length=128),
    "gist": LossSpec("tuple", scale=100.0, most_negatives=1),
    "cached-gist": LossSpec("tuple", scale=100.0, cached=True),
    "triplet": LossSpec("tuple", needs_negatives=True, most_negatives=1),
    "margin-mse": LossSpec("tuple", needs_negatives=True, needs_teacher=True),
    "contrastive": LossSpec("pair", needs_negatives=True),
    "online-contrastive": LossSpec("pair", needs_negatives=True),
    "cosine": LossSpec("pair", needs_negatives=True),
    "cosent": LossSpec("pair", scale=20.0, needs_negatives=True),
    "angle": LossSpec("pair", scale=20.0, needs_negatives=True),
}


def choose_loss(name: LossName, *, teacher: bool) -> str:
    """The loss that "auto" stands for; any other name stands for itself."""
    if name != "auto":
        return name
    return "kl" if teacher else "mnrl"


def fit_data(name: str, data: TrainingSet, *, teacher: bool) -> TrainingSet:
    """Check that the examples have the shape that a loss needs.

    Args:
        name: Loss name.
        data: The examples.
        teacher: Whether a teacher that scores any pair is at hand.

    Returns:
        The examples, without those that lack what the loss needs when some lack it.

    Raises:
        DataError: Fewer than two examples have what it needs; the message says what.
    """
    spec = LOSSES[name]
    usable = np.ones(len(data), dtype=bool)
    wanting = "at least 2 examples"
    if spec.needs_negatives:
        usable &= (data.negatives >= 0).any(axis=1) if data.negatives.size else False
        wanting = "examples with hard negatives"
    if spec.needs_teacher:
        usable &= False if data.teacher is None else ~np.isnan(data.teacher[:, :2]).any(axis=1)
        wanting = "examples with a teacher's scores of the positive and the negatives"
    if name == "kl" and not teacher:
        usable[:] = False
        wanting = "a teacher beside the examples"
    if usable.sum() < 2:
        raise DataError(
            f"the loss {name!r} cannot be trained on these examples",
            expected=wanting,
            found=f"{int(usable.sum())} such of {len(data)} examples",
            remedy="choose train.loss=mnrl, which needs pairs only, or mine with negatives or a teacher",
        )
    return data if usable.all() else data.subset(np.flatnonzero(usable))


def negative_columns(data: TrainingSet) -> int:
    """Negatives that every example has."""
    return int((data.negatives >= 0).sum(axis=1).min()) if data.negatives.size else 0


def build_loss(
    name: str,
    model: SentenceTransformer,
    options: TrainOptions,
    *,
    mini_batch_tokens: int,
    cached: bool,
    guide: SentenceTransformer | None = None,
    gather: bool = False,
) -> nn.Module:
    """A loss module by name, wrapped for Matryoshka dimensions when there are any.

    Args:
        name: Loss name, not "auto".
        model: The model in training.
        options: Scale, margin, distance, Matryoshka dimensions.
        mini_batch_tokens: Tokens embedded at once where the loss works in mini-batches.
        cached: Gradient caching for the in-batch losses.
        guide: Guide model of the GIST losses; None is ``model`` itself.
        gather: Documents of all processes are candidates.

    Raises:
        ConfigError: A Matryoshka dimension the model does not have.
    """
    scale = options.scale or LOSSES[name].scale or 1.0
    if LOSSES[name].shape == "in-batch":
        loss = _in_batch(name, model, scale, mini_batch_tokens, cached, gather)
    elif "gist" in name:
        loss = _gist(name, model, guide, scale, mini_batch_tokens, gather)
    else:
        loss = _within_example(name, model, options, scale)
    return _matryoshka(model, loss, options.matryoshka) if options.matryoshka else loss


def _in_batch(
    name: str, model: SentenceTransformer, scale: float, tokens: int, cached: bool, gather: bool
) -> nn.Module:
    from embedlib.training.inbatch import InBatchLoss, distillation, info_nce, symmetric_info_nce

    def to_teacher(scores: Tensor, targets: Tensor) -> Tensor:
        return distillation(scores, scale * targets)

    objective = {"kl": to_teacher, "symmetric-mnrl": symmetric_info_nce}.get(name, info_nce)
    return InBatchLoss(model, objective, scale=scale, mini_batch_tokens=tokens, cached=cached, gather=gather)


def _gist(
    name: str,
    model: SentenceTransformer,
    guide: SentenceTransformer | None,
    scale: float,
    tokens: int,
    gather: bool,
) -> nn.Module:
    from sentence_transformers.sentence_transformer import losses

    options: dict[str, Any] = {
        "guide": guide or model,
        "temperature": 1 / scale,
        "margin_strategy": "relative",
        "margin": 0.05,
        "gather_across_devices": gather,
    }
    if name == "cached-gist":
        return losses.CachedGISTEmbedLoss(model, mini_batch_num_tokens=tokens, **options)
    return losses.GISTEmbedLoss(model, **options)


def _within_example(  # noqa: PLR0911 (one line per loss)
    name: str, model: SentenceTransformer, options: TrainOptions, scale: float
) -> nn.Module:
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.util import pairwise_dot_score

    margin = options.margin or 0.5
    match name:
        case "triplet":
            metrics = losses.TripletDistanceMetric
            metric = metrics.COSINE if options.distance == "cosine" else metrics.EUCLIDEAN
            default = 0.2 if options.distance == "cosine" else 1.0
            return losses.TripletLoss(model, metric, options.margin or default)
        case "contrastive":
            return losses.ContrastiveLoss(model, margin=margin)
        case "online-contrastive":
            return losses.OnlineContrastiveLoss(model, margin=margin)
        case "cosine":
            return losses.CosineSimilarityLoss(model)
        case "cosent":
            return losses.CoSENTLoss(model, scale=scale)
        case "angle":
            return losses.AnglELoss(model, scale=scale)
        case _:
            return losses.MarginMSELoss(model, lambda a, b: scale * pairwise_dot_score(a, b))


def _matryoshka(model: SentenceTransformer, loss: nn.Module, dimensions: tuple[int, ...]) -> nn.Module:
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    full = model.get_embedding_dimension()
    wrong = [d for d in dimensions if not 0 < d <= full]
    if wrong:
        raise ConfigError(
            [f"train.matryoshka: {d} is not a dimension of this model, which has {full}" for d in wrong]
        )
    return MatryoshkaLoss(model, loss, sorted({full, *dimensions}, reverse=True))
