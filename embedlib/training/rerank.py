"""A reranker: a cross-encoder trained on lists, each a query's positive among its mined negatives.

Labels make hard lists: the loss is the cross-entropy of the positive among the candidates (LCE: Gao et
al., *Rethink Training of BERT Rerankers*, ECIR 2021). Without labels the teacher's scores of the same
list are soft answers, as in ListNet (Cao et al., ICML 2007): the cross-entropy of both softmaxes. Both
are the library's ``ListNetLoss``.

Letters: b lists a batch, c candidates a list.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from embedlib.contracts import Corpus
from embedlib.errors import DataError, ModelError, type_and_line
from embedlib.evaluation.lineage import Provenance
from embedlib.models.hardware import default_device, no_attention_plans, resolve_precision
from embedlib.models.loading import made_up_weights, require_weights
from embedlib.training.backbone import faster_steps, set_dropout
from embedlib.training.collate import Collator
from embedlib.training.data import TrainingSet, load_training_set
from embedlib.training.folder import RERANKER_CARD, describe_model
from embedlib.training.loop import TrainingRecipe, train
from embedlib.training.options import TrainingJob, emit
from embedlib.training.plan import count_steps
from embedlib.training.sampler import ExampleBatches
from embedlib.training.sizing import activation_bytes, free_bytes, size_step

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

#: Weights of a new head, which an encoder's files do not have.
HEAD = ("classifier.", "score.", "pooler.")
#: Logit of a labelled positive in the list's target distribution; the negatives' is 0.
CERTAIN = 10.0
#: Lists whose tokens are counted to know how many steps there is time for.
COUNTED = 256
#: Examples of one query an epoch, at most.
PER_QUERY = 8


def train_reranker(job: TrainingJob) -> dict[str, Any]:
    """Run the training: ``job.out`` gets the cross-encoder, whose scores are raw logits.

    ``job.options`` are those of the configuration's section Rerank; ``job.inputs`` names corpus,
    queries and examples. A run that finds a sound checkpoint in ``job.scratch`` goes on from it.

    Returns:
        Lists, steps, tokens, the last loss.

    Raises:
        DataError: No list has two candidates.
        ModelError: The model has no weights or no tokenizer that reads pairs.
        NonFiniteLoss: The loss became NaN or infinite.
    """
    options = job.options
    logging.getLogger("sentence_transformers.base.model").setLevel(logging.ERROR)  # it warns of a new head
    torch.manual_seed(job.seed)
    model = new_reranker(Path(job.model), options["max_length"], default_device())
    bf16 = resolve_precision(options["precision"]) == "bf16"
    set_dropout(model, 0.0)
    faster_steps(model, bf16=bf16)
    lists = read_lists(job.inputs, options["negatives"])
    collate = ListCollator(lists)
    tokens = mean_tokens(model, collate, job.seed)
    steps, batch, parts = plan_steps(model, lists, options, tokens, bf16=bf16)
    sampler = ExampleBatches(
        [(query,) for query in lists.queries], batch_size=batch, seed=job.seed, per_query=PER_QUERY
    )
    emit("plan", text=f"reranker: {len(lists)} lists, {steps} steps, {tokens:.0f} tokens a list")
    recipe = TrainingRecipe(
        list_loss(model),
        list(range(len(lists))),
        sampler,
        collate,
        lists.names,
        steps,
        options["learning_rate"],
        bf16,
        checkpoint_s=job.checkpoint_s,
        accumulated=parts,
    )
    losses = train(model, recipe, Path(job.scratch), seed=job.seed).losses
    model.to(torch.float32)
    model.save_pretrained(job.out, create_model_card=False)
    made = Provenance(made="reranker", **job.provenance, seed=job.seed, options=options)
    describe_model(Path(job.out), made, RERANKER_CARD)
    done = int(steps * batch * parts * tokens)
    return {"lists": len(lists), "steps": steps, "tokens": done, "loss_last": losses[-1]["loss"]}


def new_reranker(folder: Path, max_length: int, device: str) -> CrossEncoder:
    """A cross-encoder of an encoder's weights with a new head, or of a cross-encoder's with its own.

    Args:
        folder: Of an encoder, in sentence-transformers' or transformers' layout, or of a cross-encoder.
        max_length: Tokens of a pair that it reads, at most; never more than it has positions for.
        device: Where.

    Raises:
        ModelError: It does not load, is no transformer, lacks weights besides the head's, or has no
            tokenizer that reads pairs.
    """
    from sentence_transformers import CrossEncoder

    no_attention_plans()
    try:
        with made_up_weights() as missing:
            model = CrossEncoder(
                str(folder), num_labels=1, activation_fn=nn.Identity(), device=device, local_files_only=True
            )
    except Exception as error:  # damaged or unsuitable files raise whatever their reader does
        raise ModelError(
            "no reranker can be made of this model",
            where=str(folder),
            expected="a transformer encoder or a cross-encoder, with its tokenizer",
            found=type_and_line(error),
            remedy="name another model in rerank.start; `base` is the base model",
        ) from error
    others = [name for name in missing if not name.startswith(HEAD)]
    require_weights(others, str(folder), "get its files again, or name another model in rerank.start")
    require_pair_tokenizer(model, str(folder))
    model.max_seq_length = min(max_length, model.max_seq_length or max_length)
    return model


def require_pair_tokenizer(model: CrossEncoder, where: str) -> None:
    """Refuse a tokenizer that cannot pad, does not mark where the second text begins, or is another model's.

    Raises:
        ModelError: Naming what is missing.
    """
    tokenizer = model.tokenizer
    rows = model.transformers_model.get_input_embeddings().num_embeddings
    found = ""
    if getattr(tokenizer, "pad_token_id", None) is None:
        found = "a tokenizer without a padding token"
    elif len(tokenizer) > rows:
        found = f"a tokenizer of {len(tokenizer)} tokens, embeddings of {rows}"
    elif len(tokenizer("a", "b")["input_ids"]) <= 2:
        found = "a tokenizer that puts nothing between two texts"
    if found:
        raise ModelError(
            "this model's tokenizer is not fit for a reranker",
            where=where,
            expected="the model's own tokenizer, with a padding token and a separator between two texts",
            found=found,
            remedy="name another model in rerank.start",
        )


def read_lists(inputs: dict[str, str], negatives: int) -> TrainingSet:
    """Examples with at least one negative; as the teacher has scored them, where it has scored them all.

    Raises:
        DataError: There are fewer than two of them.
    """
    folders = {name: Path(path) for name, path in inputs.items()}
    corpus, examples = Corpus(folders["corpus"]), folders["examples"]
    whole = (examples / "teacher").is_dir()
    data = load_training_set(corpus, examples, folders["queries"], negatives=negatives, whole=whole)
    lists = data.subset(np.flatnonzero((data.negatives >= 0).any(axis=1)))
    if len(lists) < 2:
        raise DataError(
            "there is nothing to rank: the lists have one candidate each",
            where=str(examples / "examples.parquet"),
            expected="examples with at least one negative, two or more of them",
            found=f"{len(lists)} of {len(data)} examples",
            remedy="mine negatives (mine.negatives, mine.miners); the mining report says what filtered them",
        )
    return lists


def list_loss(model: CrossEncoder) -> nn.Module:
    """Cross-entropy of the softmax of a list's labels and of its scores, all of a batch's pairs at once."""
    from sentence_transformers.cross_encoder.losses import ListNetLoss

    return ListNetLoss(model, mini_batch_size=-1)


def mean_tokens(model: CrossEncoder, collate: ListCollator, seed: int) -> float:
    """Mean tokens of a list, over a sample."""
    rng = np.random.default_rng([seed, *b"tokens"])
    chosen = rng.permutation(len(collate.data))[:COUNTED].tolist()
    batch = collate([{"index": i} for i in chosen])
    pairs = [
        (q, d) for q, documents in zip(batch["query"], batch["documents"], strict=True) for d in documents
    ]
    return float(model.preprocess(pairs)["attention_mask"].sum()) / len(chosen)


def plan_steps(
    model: CrossEncoder, lists: TrainingSet, options: dict[str, Any], tokens: float, *, bf16: bool
) -> tuple[int, int, int]:
    """Steps, lists a forward pass, and passes a step: fewer lists at a time where memory is short."""
    step_tokens = int(options["batch_size"] * tokens)
    token_bytes = activation_bytes(model.transformers_model.config, model.max_seq_length, bf16=bf16)
    sizing = size_step(token_bytes, step_tokens, free_bytes(model.device))
    parts = min(-(-step_tokens // sizing.tokens) if sizing.cached else 1, options["batch_size"] // 2)
    parts = max(1, parts)
    batch = -(-options["batch_size"] // parts)
    most = options["max_tokens"] and int(options["max_tokens"] / (batch * parts * tokens))
    per_epoch = -(-len(lists) // (batch * parts))
    return count_steps(per_epoch, options["epochs"], most), batch, parts


class ListCollator(Collator):
    """Queries, the texts of their candidates, and each list's labels.

    Args:
        data: The lists; the teacher's scores are the labels where there are any.
    """

    def __init__(self, data: TrainingSet) -> None:
        self.data = data

    def __call__(self, records: list[dict[str, int]]) -> dict[str, Any]:
        """A batch as the library's losses read it: the pairs are tokenised there."""
        indices = [record["index"] for record in records]
        lists = [self._candidates(i) for i in indices]
        return {
            "query": [self.data.queries[i] for i in indices],
            "documents": [[self.data.documents[j] for j in candidates] for candidates in lists],
            "label": [self._labels(i, len(candidates)) for i, candidates in zip(indices, lists, strict=True)],
            "indices": torch.tensor(indices),
        }

    def _candidates(self, i: int) -> Sequence[int]:
        negatives = self.data.negatives[i]
        return [int(self.data.positives[i]), *negatives[negatives >= 0].tolist()]

    def _labels(self, i: int, c: int) -> torch.Tensor:
        """float32 [c], the positive first."""
        if self.data.teacher is not None and np.isfinite(self.data.teacher[i, :c]).all():
            return torch.from_numpy(self.data.teacher[i, :c].copy())
        return torch.tensor([CERTAIN] + [0.0] * (c - 1))
