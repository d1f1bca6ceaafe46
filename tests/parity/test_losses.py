"""The losses against their closed forms, worked out here with plain NumPy.

Mapping of parameters: scale = 1 / temperature multiplies cosines (InfoNCE, MNRL, KL); ``margin`` is
subtracted from the distance to the negative (triplet); MSE is the mean over the entries of a margin
or of a vector.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from embedlib.training.inbatch import InBatchLoss, distillation, info_nce, symmetric_info_nce
from embedlib.training.losses import build_loss
from embedlib.training.options import TrainOptions


class Lookup(nn.Module):
    """An "encoder" whose texts are rows of a table."""

    def __init__(self, rows: int, dimension: int = 6) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.table = nn.Parameter(torch.randn(rows, dimension, generator=generator))
        self.similarity_fn_name = "cosine"

    def forward(self, features):
        return {**features, "sentence_embedding": self.table[features["input_ids"][:, 0]]}

    def get_embedding_dimension(self) -> int:
        return self.table.shape[1]

    def __getitem__(self, at):
        return self


def feature(*rows: int) -> dict[str, torch.Tensor]:
    ids = torch.tensor(rows)[:, None]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def unit(model: Lookup, *rows: int) -> np.ndarray:
    vectors = model.table.detach().double().numpy()[list(rows)]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def number(loss: torch.Tensor) -> float:
    return float(loss.detach())


def cross_entropy(scores: np.ndarray) -> float:
    """Mean of -log softmax at the diagonal, by its definition."""
    e = np.exp(scores)
    return float(-np.log(np.diag(e) / e.sum(axis=1)).mean())


@pytest.mark.parametrize("scale", [1.0, 20.0, 50.0])
@pytest.mark.parametrize("cached", [False, True])
def test_mnrl_is_cross_entropy_of_scaled_cosines(scale, cached):
    model = Lookup(8)
    loss = InBatchLoss(model, info_nce, scale=scale, mini_batch_tokens=3, cached=cached)
    value = loss([feature(0, 1, 2), feature(3, 4, 5, 6, 7)], torch.eye(3, 5))
    expected = cross_entropy(scale * unit(model, 0, 1, 2) @ unit(model, 3, 4, 5, 6, 7).T)
    assert number(value) == pytest.approx(expected, rel=1e-5)
    wrong = cross_entropy(unit(model, 0, 1, 2) @ unit(model, 3, 4, 5, 6, 7).T / scale)
    assert scale == 1.0 or number(value) != pytest.approx(wrong, rel=1e-3)


def test_mnrl_equals_sentence_transformers_with_hard_negatives():
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss as Theirs

    model = Lookup(9)
    ours = build_loss("mnrl", model, TrainOptions(), mini_batch_tokens=100, cached=False)
    theirs = Theirs(model, scale=20.0)([feature(0, 1, 2), feature(3, 4, 5), feature(6, 7, 8)], None)
    value = ours([feature(0, 1, 2), feature(3, 4, 5, 6, 7, 8)], torch.eye(3, 6))
    assert number(value) == pytest.approx(number(theirs), rel=1e-6)
    (their_gradient,) = torch.autograd.grad(theirs, model.table)
    (our_gradient,) = torch.autograd.grad(value, model.table)
    torch.testing.assert_close(our_gradient, their_gradient)


def test_symmetric_mnrl_equals_sentence_transformers_on_pairs():
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss as Theirs

    model = Lookup(6)
    ours = build_loss("symmetric-mnrl", model, TrainOptions(), mini_batch_tokens=100, cached=False)
    directions = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    theirs = Theirs(model, scale=20.0, **directions)([feature(0, 1, 2), feature(3, 4, 5)], None)
    assert number(ours([feature(0, 1, 2), feature(3, 4, 5)], torch.eye(3))) == pytest.approx(
        number(theirs), rel=1e-6
    )
    scores = torch.tensor([[1.0, 0.2], [0.1, 0.9]])
    both = (info_nce(scores, torch.eye(2)) + info_nce(scores.T, torch.eye(2))) / 2
    assert float(symmetric_info_nce(scores, torch.eye(2))) == pytest.approx(float(both))


def test_gradient_caching_gives_the_gradient_of_the_whole_batch():
    relation = torch.eye(4, 7)
    gradients = []
    for cached in (False, True):
        model = Lookup(11)
        loss = InBatchLoss(model, info_nce, scale=20.0, mini_batch_tokens=2, cached=cached)
        loss([feature(0, 1, 2, 3), feature(*range(4, 11))], relation).backward()
        gradients.append(model.table.grad)
    torch.testing.assert_close(*gradients)


def test_several_positives_are_not_each_others_negatives():
    scores = torch.tensor([[2.0, 1.0, -1.0, 0.5]])
    relation = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    first = -np.log(np.exp(2.0) / (np.exp(2.0) + np.exp(-1.0)))
    second = -np.log(np.exp(1.0) / (np.exp(1.0) + np.exp(-1.0)))
    assert float(info_nce(scores, relation)) == pytest.approx((first + 2 * second) / 3, rel=1e-6)


def test_a_query_without_a_positive_or_without_a_negative_has_no_loss_and_no_nan():
    scores = torch.randn(3, 4, requires_grad=True)
    relation = torch.tensor([[0.0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, -1]])
    value = info_nce(scores, relation)
    value.backward()
    alone = info_nce(scores.detach()[2:], relation[2:])
    assert number(value.detach()) == pytest.approx(float(alone) / 2, rel=1e-6)  # two queries have a positive
    assert torch.isfinite(scores.grad).all()
    assert float(scores.grad[:2].abs().sum()) == 0.0


def test_distillation_is_the_kullback_leibler_divergence_over_candidates():
    scores, teacher = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([[3.0, 1.0, -np.inf]])
    p = np.exp([3.0, 1.0]) / np.exp([3.0, 1.0]).sum()
    q = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum()
    assert float(distillation(scores, teacher)) == pytest.approx(float((p * np.log(p / q)).sum()), rel=1e-5)
    same = torch.tensor([[0.3, -0.2, 1.0]])
    assert float(distillation(same, same + 5.0)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("distance", "margin"), [("cosine", 0.2), ("euclidean", 1.0)])
def test_triplet_is_the_hinge_of_distances(distance, margin):
    model = Lookup(6)
    loss = build_loss("triplet", model, TrainOptions(distance=distance), mini_batch_tokens=1, cached=False)
    value = loss([feature(0, 1), feature(2, 3), feature(4, 5)], None)
    if distance == "cosine":
        a, p, n = (unit(model, *rows) for rows in ((0, 1), (2, 3), (4, 5)))
        near, far = 1 - (a * p).sum(1), 1 - (a * n).sum(1)
    else:
        a, p, n = (model.table.detach().double().numpy()[list(rows)] for rows in ((0, 1), (2, 3), (4, 5)))
        near, far = np.linalg.norm(a - p, axis=1), np.linalg.norm(a - n, axis=1)
    expected = np.maximum(near - far + margin, 0).mean()
    assert expected > 0
    assert number(value) == pytest.approx(expected, rel=1e-4)


def test_margin_mse_is_the_squared_error_of_the_teachers_margins():
    model = Lookup(8)
    loss = build_loss("margin-mse", model, TrainOptions(), mini_batch_tokens=1, cached=False)
    teacher = torch.tensor([[3.0, 1.0, 0.5], [2.0, 2.5, -1.0]])
    value = loss([feature(0, 1), feature(2, 3), feature(4, 5), feature(6, 7)], teacher)
    table = model.table.detach().double().numpy()
    q, p, negatives = table[[0, 1]], table[[2, 3]], (table[[4, 5]], table[[6, 7]])
    margins = np.stack([(q * p).sum(1) - (q * n).sum(1) for n in negatives], axis=1)
    wanted = teacher[:, :1].numpy() - teacher[:, 1:].numpy()
    assert number(value) == pytest.approx(((margins - wanted) ** 2).mean(), rel=1e-5)


def test_cosine_loss_is_the_squared_error_of_cosines_and_contrastive_has_its_margin():
    model, label = Lookup(4), torch.tensor([1.0, 0.0])
    cosines = (unit(model, 0, 1) * unit(model, 2, 3)).sum(1)
    mse = build_loss("cosine", model, TrainOptions(), mini_batch_tokens=1, cached=False)
    assert number(mse([feature(0, 1), feature(2, 3)], label)) == pytest.approx(
        ((cosines - label.numpy()) ** 2).mean(), rel=1e-5
    )
    contrastive = build_loss(
        "contrastive", model, TrainOptions(margin=1.8), mini_batch_tokens=1, cached=False
    )
    distance = 1 - cosines
    expected = 0.5 * (label.numpy() * distance**2 + (1 - label.numpy()) * np.maximum(1.8 - distance, 0) ** 2)
    assert number(contrastive([feature(0, 1), feature(2, 3)], label.long())) == pytest.approx(
        expected.mean(), rel=1e-5
    )


def test_cosent_orders_pairs_at_its_scale():
    model, label = Lookup(4), torch.tensor([1.0, 0.0])
    cosines = (unit(model, 0, 1) * unit(model, 2, 3)).sum(1)
    loss = build_loss("cosent", model, TrainOptions(scale=7.0), mini_batch_tokens=1, cached=False)
    expected = np.log1p(np.exp(7.0 * (cosines[1] - cosines[0])))
    assert number(loss([feature(0, 1), feature(2, 3)], label)) == pytest.approx(expected, rel=1e-5)
