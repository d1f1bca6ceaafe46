"""Distillation: a smaller student learns to give its teacher's vectors.

The student keeps some of the teacher's layers, or is another model whose vectors are projected to
the teacher's dimension, so that queries and documents of both can be compared. Document vectors
come from the teacher's vectors artifact: nothing is encoded twice.

Letters: b texts a batch, d the teacher's dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from embedlib.contracts import Corpus, Floats, Vectors, read_judgements
from embedlib.errors import ModelError
from embedlib.models.hardware import default_device, resolve_precision
from embedlib.models.local import LocalEncoder, load_encoder
from embedlib.training.backbone import faster_on_cpu
from embedlib.training.events import emit
from embedlib.training.folder import save_model
from embedlib.training.loop import Recipe, dev_score, dev_watch, read_dev, train
from embedlib.training.options import TrainingJob
from embedlib.training.plan import count_steps
from embedlib.training.sampler import ExampleBatches

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


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
    student = make_student(teacher, options["layers"], options["student"])
    bf16 = resolve_precision(options["precision"]) == "bf16"
    faster_on_cpu(student.module, bf16=bf16)
    texts, targets = _material(job, teacher)
    sampler = ExampleBatches(
        [(i,) for i in range(len(texts))], batch_size=options["batch_size"], seed=job.seed
    )
    steps = count_steps(sampler.count, options["epochs"], None)
    emit("plan", text=f"distillation: {len(texts)} texts, {steps} steps")
    sizes = {"documents": options["dev_documents"], "most_queries": options["dev_queries"]}
    dev = read_dev(job.inputs["corpus"], job.inputs["queries"], **sizes, seed=job.seed)
    numbers: dict[str, Any] = {"texts": len(texts), "steps": steps}
    if dev is not None:
        numbers["dev_teacher"] = dev_score(dev, teacher, bf16=bf16)[0]
    scratch = Path(job.scratch)
    watch = dev_watch(dev, student, steps=steps, evaluations=4, scratch=scratch, bf16=bf16)
    recipe = Recipe(
        VectorLoss(student.module),
        list(range(len(texts))),
        sampler,
        TargetCollator(texts, targets, student),
        [f"text {i}" for i in range(len(texts))],
        steps,
        options["learning_rate"],
        bf16,
        checkpoint_s=job.checkpoint_s,
    )
    losses = train(student.module, recipe, scratch, seed=job.seed, dev=watch).losses
    if watch is not None and watch.best is not None:
        watch.restore_best()
        numbers["dev_student"] = watch.best.value
    made = {"made": "distilled model", **job.provenance, "seed": job.seed, "options": options}
    save_model(student, Path(job.out), made)
    sizes_of = {"parameters": _parameters(student), "parameters_teacher": _parameters(teacher)}
    return {**numbers, **sizes_of, "loss_last": losses[-1]["loss"]}


def make_student(teacher: LocalEncoder, layers: int | None, other: str | None) -> LocalEncoder:
    """A student that gives vectors of the teacher's dimension.

    Args:
        teacher: The teacher; it is not changed.
        layers: Layers of the teacher to keep, evenly spaced; None keeps half of them.
        other: Another model as the student, projected when its dimension differs.

    Raises:
        ModelError: More layers than there are, or no list of layers.
    """
    if other is None:
        student = load_encoder(teacher.name, device=str(teacher.module.device))
        keep_layers(student.module, layers)
        return student
    student = load_encoder(other, device=str(teacher.module.device))
    if student.dimension == teacher.dimension:
        return student
    return LocalEncoder(projected(student.module, teacher.dimension), name=other, prompts=student.prompts)


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


class VectorLoss(nn.Module):  # type: ignore[misc]
    """Mean squared distance of unit vectors, which is 2 - 2 cos (Reimers and Gurevych, arXiv 2004.09813).

    Args:
        model: The student.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Loss of a batch; labels are the teacher's unit vectors [b, d]."""
        (features,) = sentence_features
        vectors = nn.functional.normalize(self.model(features)["sentence_embedding"].float(), dim=1)
        return (vectors - labels).square().sum(dim=1).mean()


class TargetCollator:
    """Texts with the vectors they should have.

    Args:
        texts: Texts with their prompts.
        targets: Teacher's unit vectors, float32 [texts, d].
        student: Tokenises.
    """

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, texts: Sequence[str], targets: Floats, student: LocalEncoder) -> None:
        self.texts, self.targets, self.student = texts, targets, student

    def __call__(self, records: list[dict[str, int]]) -> dict[str, Any]:
        """Tensors of a batch."""
        indices = [record["index"] for record in records]
        features = self.student.module.preprocess([self.texts[i] for i in indices])
        named = {f"text_{name}": value for name, value in features.items()}
        label = torch.from_numpy(self.targets[indices])
        return {**named, "indices": torch.tensor(indices), "label": label}


def _material(job: TrainingJob, teacher: LocalEncoder) -> tuple[list[str], Floats]:
    """Documents with their stored vectors, and training queries encoded by the teacher."""
    corpus, vectors = Corpus(Path(job.inputs["corpus"])), Vectors(Path(job.inputs["vectors"]))
    rng = np.random.default_rng([job.seed, *b"texts"])
    most = min(job.options["max_documents"], len(corpus))
    rows = np.sort(rng.choice(len(corpus), size=most, replace=False))
    wanted = set(rows.tolist())
    documents = [text for row, text in enumerate(corpus.texts()) if row in wanted]
    queries = list(read_judgements(Path(job.inputs["queries"]), "train").queries.values())
    stored = vectors.take(rows)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    prompts = teacher.prompts
    texts = [prompts.document + text for text in documents] + [prompts.query + text for text in queries]
    if not queries:
        return texts, stored
    asked = teacher.encode_queries(queries)
    return texts, np.concatenate([stored, asked / np.linalg.norm(asked, axis=1, keepdims=True)])


def _parameters(encoder: LocalEncoder) -> int:
    return sum(p.numel() for p in encoder.module.parameters())
