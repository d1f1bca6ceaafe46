"""Distillation: a smaller student learns to give its teacher's vectors and the order among them.

The student keeps some of the teacher's layers, is a table of token vectors
(``embedlib.training.static``), or is another model whose vectors are projected to the teacher's
dimension. Document vectors come from the teacher's vectors artifact: nothing is encoded twice.

Letters: b texts per batch, d the teacher's dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from embedlib.contracts import Corpus, Floats, read_judgements
from embedlib.errors import ModelError
from embedlib.evaluation.lineage import Provenance
from embedlib.models.encoder import unit_norm
from embedlib.models.hardware import default_device, resolve_precision
from embedlib.models.local import LocalEncoder, load_encoder
from embedlib.training.backbone import faster_steps
from embedlib.training.collate import Collator
from embedlib.training.data import sample_documents
from embedlib.training.folder import save_model
from embedlib.training.loop import TrainingRecipe, dev_score, dev_watch, read_dev, train
from embedlib.training.options import TrainingJob, emit
from embedlib.training.plan import count_steps
from embedlib.training.sampler import ExampleBatches
from embedlib.training.static import static_student
from embedlib.vectors import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: Steps after which a student of some layers gains little: four passes kept 93 % of a teacher, one 92 %.
LAYER_STEPS = 1200


def distil(job: TrainingJob) -> dict[str, Any]:
    """Run a distillation: ``job.model`` is the teacher, ``job.out`` gets the student.

    ``job.options`` are those of the configuration's section Distil; ``job.inputs`` names corpus,
    queries and the teacher's vectors.

    Returns:
        Dev nDCG@10 of teacher and student, layers, parameters.

    Raises:
        ModelError: More layers than the teacher has, or no list of layers in it.
    """
    options = job.options
    torch.manual_seed(job.seed)
    teacher = load_encoder(job.model, device=default_device())
    student = make_student(teacher, options["student"], layers=options["layers"], texts=_all_texts(job))
    static = student.static
    bf16 = resolve_precision(options["precision"]) == "bf16" and not static
    if not static:
        faster_steps(student.module, bf16=bf16)
    texts, targets = _material(job, teacher, student)
    sampler = ExampleBatches(
        [(i,) for i in range(len(texts))], batch_size=options["batch_size"], seed=job.seed
    )
    epochs = options["epochs"] or default_epochs(sampler.count, static=static)
    steps = count_steps(sampler.count, epochs, None)
    emit("plan", text=f"distillation: {len(texts)} texts, {steps} steps")
    dev = read_dev(job.inputs, job.seed)
    numbers: dict[str, Any] = {"texts": len(texts), "steps": steps}
    if dev is not None:
        numbers["dev_teacher"] = dev_score(dev, teacher, bf16=bf16)[0]
    scratch = Path(job.scratch)
    watch = dev_watch(dev, student, steps=steps, evaluations=4, scratch=scratch, bf16=bf16)
    recipe = TrainingRecipe(
        DistilLoss(student.module, options["ranking"]),
        list(range(len(texts))),
        sampler,
        TargetCollator(texts, targets, student),
        [f"text {i}" for i in range(len(texts))],
        steps,
        options["learning_rate"] or default_learning_rate(static=static),
        bf16,
        weight_decay=0.0 if static else 0.01,
        checkpoint_s=job.checkpoint_s,
    )
    losses = train(student.module, recipe, scratch, seed=job.seed, dev=watch).losses
    if watch is not None and watch.best is not None:
        watch.restore_best()
        numbers["dev_student"] = watch.best.value
    made = Provenance(made="distilled model", **job.provenance, seed=job.seed, options=options)
    save_model(student, Path(job.out), made)
    sizes_of = {"parameters": _parameters(student), "parameters_teacher": _parameters(teacher)}
    return {**numbers, **sizes_of, "loss_last": losses[-1]["loss"]}


def default_learning_rate(*, static: bool) -> float:
    """Peak learning rate: a table of token vectors bears, and needs, far more than a transformer."""
    return 3e-3 if static else 3e-4


def default_epochs(per_epoch: int, *, static: bool) -> float:
    """Passes over the texts: five of a small corpus, one of a large one; a static student's take seconds.

    >>> [default_epochs(steps, static=False) for steps in (50, 306, 5000)]
    [5.0, 4.0, 1.0]
    """
    return 10.0 if static else float(min(5, max(1, round(LAYER_STEPS / per_epoch))))


def make_student(
    teacher: LocalEncoder, kind: str, *, layers: int | None = None, texts: Iterable[str] = ()
) -> LocalEncoder:
    """A student that gives vectors of the teacher's dimension.

    Args:
        teacher: The teacher; it is not changed.
        kind: ``layers`` (some of the teacher's), ``static`` (a table of token vectors), or another
            model's folder, projected when its dimension differs.
        layers: Layers of the teacher to keep, evenly spaced; None keeps half of them.
        texts: What weighs the tokens of a static student.

    Raises:
        ModelError: More layers than there are, no list of layers, no fast tokenizer, or a student
            that is no smaller than its teacher.
    """
    if kind == "static":
        return static_student(teacher, texts)
    if kind == "layers":
        student = load_encoder(teacher.name, device=str(teacher.module.device))
        keep_layers(student.module, layers)
        return student
    student = load_encoder(kind, device=str(teacher.module.device))
    if _parameters(student) > _parameters(teacher):
        raise ModelError(
            "the student is larger than its teacher",
            where=kind,
            expected=f"at most {_parameters(teacher):,} parameters",
            found=f"{_parameters(student):,} parameters",
            remedy="name a smaller model in distil.student, or use it as the base model instead",
        )
    if student.dimension == teacher.dimension:
        return student
    return LocalEncoder(projected(student.module, teacher.dimension), name=kind, prompts=student.prompts)


def keep_layers(module: SentenceTransformer, layers: int | None) -> None:
    """Drop layers of a transformer in place, keeping ``layers`` of them from the first to the last."""
    transformer = module.transformers_model
    total = int(transformer.config.num_hidden_layers)
    wanted = layers or max(1, total // 2)
    places = [
        (parent, name)
        for parent in transformer.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == total
    ]
    if wanted > total or not places:
        raise ModelError(
            "the student cannot keep that many layers",
            expected=f"1 to {total}" if places else "a transformer whose layers stand in one list",
            found=str(wanted),
            remedy="lower distil.layers, or name another model in distil.student",
        )
    chosen = np.unique(np.linspace(0, total - 1, wanted).round().astype(int))
    for parent, name in places:
        stack = getattr(parent, name)
        setattr(parent, name, nn.ModuleList(stack[int(i)] for i in chosen))
    transformer.config.num_hidden_layers = len(chosen)


def projected(module: SentenceTransformer, dimension: int) -> SentenceTransformer:
    """The model followed by a linear map to ``dimension`` and normalisation."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    parts = [part for part in module if not isinstance(part, modules.Normalize)]
    size = int(module.get_embedding_dimension())
    dense = modules.Dense(size, dimension, bias=False, activation_function=nn.Identity())
    built = SentenceTransformer(modules=[*parts, dense, modules.Normalize()], device=str(module.device))
    built.prompts.update(module.prompts)
    return built


class DistilLoss(nn.Module):  # type: ignore[misc]
    """Distance to the teacher's vectors, and to the teacher's ranking of the other texts of a batch.

    Distance: mean of |s - t|², which is 2 - 2 cos (Reimers and Gurevych, arXiv 2004.09813).
    Ranking: for each text, KL(softmax(τ t·T) || softmax(τ s·S)) over the batch's other texts, τ = 20:
    similarities kept as in Tung and Mori, arXiv 1907.09682, by their order's weight.

    Args:
        model: The student.
        ranking: Weight of the second term; 0 leaves the distance alone.
    """

    def __init__(self, model: SentenceTransformer, ranking: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.ranking = ranking

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Loss of a batch; labels are the teacher's unit vectors [b, d]."""
        (features,) = sentence_features
        vectors = nn.functional.normalize(self.model(features)["sentence_embedding"].float(), dim=1)
        distance = (vectors - labels).square().sum(dim=1).mean()
        if not self.ranking or len(labels) < 3:
            return distance
        return distance + self.ranking * nn.functional.kl_div(
            _log_ranking(vectors), _log_ranking(labels), log_target=True, reduction="batchmean"
        )


def _log_ranking(vectors: Tensor) -> Tensor:
    """Log of each text's distribution over the others, cosines times 20, [b, b - 1]."""
    b = len(vectors)
    similar = 20.0 * vectors @ vectors.T  # [b, b]
    others = ~torch.eye(b, dtype=torch.bool, device=vectors.device)
    return similar[others].view(b, b - 1).log_softmax(dim=1)


class TargetCollator(Collator):
    """Texts with the vectors they should have.

    Args:
        texts: Texts with their prompts.
        targets: Teacher's unit vectors, float32 [texts, d].
        student: Tokenises.
    """

    def __init__(self, texts: Sequence[str], targets: Floats, student: LocalEncoder) -> None:
        self.texts, self.targets, self.student = texts, targets, student

    def __call__(self, records: list[dict[str, int]]) -> dict[str, Any]:
        """Tensors of a batch."""
        indices = [record["index"] for record in records]
        features = self.student.module.preprocess([self.texts[i] for i in indices])
        named = {f"text_{name}": value for name, value in features.items()}
        label = torch.from_numpy(self.targets[indices])
        return {**named, "indices": torch.tensor(indices), "label": label}


def _all_texts(job: TrainingJob) -> Iterator[str]:
    """Every document, and the training queries."""
    yield from Corpus(Path(job.inputs["corpus"])).texts()
    yield from read_judgements(Path(job.inputs["queries"]), "train").queries.values()


def _material(job: TrainingJob, teacher: LocalEncoder, student: LocalEncoder) -> tuple[list[str], Floats]:
    """Documents with their stored vectors, and training queries encoded by the teacher.

    Each text has the student's prompt, its vector is the one of the teacher's.
    """
    corpus, vectors = Corpus(Path(job.inputs["corpus"])), Vectors(Path(job.inputs["vectors"]))
    rows, documents = sample_documents(corpus, job.options["max_documents"], job.seed)
    queries = list(read_judgements(Path(job.inputs["queries"]), "train").queries.values())
    stored = unit_norm(vectors.take(rows))
    prompts = student.prompts
    texts = [prompts.document + text for text in documents] + [prompts.query + text for text in queries]
    if not queries:
        return texts, stored
    return texts, np.concatenate([stored, unit_norm(teacher.encode_queries(queries))])


def _parameters(encoder: LocalEncoder) -> int:
    return sum(p.numel() for p in encoder.module.parameters())
