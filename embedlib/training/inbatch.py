"""In-batch losses over queries and the distinct documents of a batch.

sentence-transformers' ranking losses take one column per document and treat every other column's
documents as negatives. Here a batch's documents are a set: each is embedded once, however many
queries name it, and the relation of every query to every document is known. A document that is
relevant to another query of the batch is a positive of that query too, never its negative.

Letters: b queries and m documents per batch, d dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.util import all_gather_with_grad
from torch import Tensor, nn

#: Entries of a relation matrix [b, m] other than weights of positives (> 0).
NEGATIVE, IGNORED = 0.0, -1.0


def info_nce(scores: Tensor, relation: Tensor) -> Tensor:
    r"""Multi-positive InfoNCE, the mean over queries with a positive (arXiv 1807.03748, eq. 4; MNRL is
    arXiv 1705.00652, eq. 5).

    For query i with positives P (weights w, summing to W) and negatives N:
    L_i = - sum_p (w_p / W) log( e^{s_ip} / (e^{s_ip} + sum_{n in N} e^{s_in}) ).
    With one positive and no ignored document it is MNRL.

    Args:
        scores: Similarities over temperature, float [b, m].
        relation: Weight of a positive, 0 for a negative, -1 for ignored, float [b, m].

    Returns:
        The loss, a scalar.
    """
    # The lowest number rather than -inf: a row without a negative then has a gradient of 0, not NaN.
    lowest = torch.finfo(scores.dtype).min
    negatives = torch.logsumexp(scores.masked_fill(relation != NEGATIVE, lowest), dim=1, keepdim=True)
    terms = F.softplus(negatives - scores)  # [b, m]
    weights = relation.clamp_min(0.0)
    total = weights.sum(dim=1)
    losses = (terms * weights).sum(dim=1) / total.clamp_min(torch.finfo(scores.dtype).tiny)
    return losses.sum() / (total > 0).sum().clamp_min(1)


def symmetric_info_nce(scores: Tensor, relation: Tensor) -> Tensor:
    """Mean of query → document and document → query InfoNCE; documents that are nobody's positive
    are negatives in the first direction only.

    Args:
        scores: Similarities over temperature, float [b, m].
        relation: See ``info_nce``.
    """
    return (info_nce(scores, relation) + info_nce(scores.T, relation.T)) / 2


def distillation(scores: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) over the candidates of each query, the mean over queries (arXiv 2010.11386).

    Args:
        scores: Student's similarities over the temperature, float [b, m].
        teacher: Teacher's scores over the temperature, float [b, m]; -inf takes a document out.
    """
    out = torch.isneginf(teacher)
    student = torch.log_softmax(scores.masked_fill(out, -torch.inf), dim=1).masked_fill(out, 0.0)
    target = torch.softmax(teacher, dim=1)
    return F.kl_div(student, target, reduction="batchmean")


class InBatchLoss(CachedLossMixin, nn.Module):  # type: ignore[misc]
    """Embeds a batch's queries and documents and hands their cosines to an objective.

    Mini-batches are cut by number of tokens; as the collator orders texts by length, little of a
    mini-batch is padding. With ``cached`` (GradCache, arXiv 2101.06983) only one mini-batch's
    activations are alive at a time, for one more forward pass.

    Args:
        model: The model in training.
        objective: ``(scores [b, m], labels [b, m]) -> loss``.
        scale: Inverse temperature.
        mini_batch_tokens: Tokens embedded at once.
        cached: Trade a second forward pass for memory.
        gather: Every process sees all processes' documents.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Callable[[Tensor, Tensor], Tensor],
        *,
        scale: float,
        mini_batch_tokens: int,
        cached: bool,
        gather: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.scale = scale
        self.mini_batch_size = 1  # the mixin asks for one; the number of tokens is what counts
        self.mini_batch_num_tokens = mini_batch_tokens
        self.uses_gradient_cache = cached
        self.gather = gather

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Loss of a batch: b queries, then the documents, in one column or in two; labels [b, m]."""
        features = list(sentence_features)
        device = labels.device.type
        self._autocast = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        if self.uses_gradient_cache:
            return self.forward_cached(features, labels)
        embedded = [[rep for rep, _ in self.embed_minibatch_iter(f, True, False)] for f in features]
        return self.calculate_loss(embedded, labels)

    def embed_minibatch(self, sentence_feature: dict[str, Tensor], *args: Any, **options: Any) -> Any:
        """The mixin's, in the precision of ``forward``: a backward pass replays it outside autocast."""
        enabled, dtype = self._autocast
        device = sentence_feature["input_ids"].device.type
        with torch.autocast(device, dtype=dtype, enabled=enabled):
            return super().embed_minibatch(sentence_feature, *args, **options)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Loss from mini-batches of embeddings, in fp32 whatever the embeddings' precision."""
        assert labels is not None
        embedded = torch.cat([rep for column in reps for rep in column])
        queries, documents = embedded[: len(labels)], embedded[len(labels) :]  # [b, d], [m / processes, d]
        if self.gather:
            documents = all_gather_with_grad(documents)  # [m, d]
        with torch.autocast(queries.device.type, enabled=False):
            scores = (
                self.scale * F.normalize(queries.float(), dim=1) @ F.normalize(documents.float(), dim=1).T
            )
            loss = self.objective(scores, labels)
        if with_backward:
            loss.backward()
            return loss.detach()
        return loss
