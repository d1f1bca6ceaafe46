"""Fine-tuning: a model and examples in, a better model out."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from embedlib.contracts import Corpus
from embedlib.evaluation.dev import DevSet
from embedlib.evaluation.lineage import Provenance
from embedlib.evaluation.records import TrainingCurve
from embedlib.memory import peak_memory_mb
from embedlib.models.hardware import default_device, resolve_precision
from embedlib.models.local import LocalEncoder, load_encoder
from embedlib.training.backbone import faster_steps, set_dropout
from embedlib.training.batches import Batches, make_batches
from embedlib.training.collate import DistillationTeacher
from embedlib.training.data import TrainingSet, labelled_share, load_training_set
from embedlib.training.dev import DevWatch
from embedlib.training.folder import save_model
from embedlib.training.loop import TrainingRecipe, dev_watch, read_dev, train
from embedlib.training.lora import add_adapters, merge_adapters
from embedlib.training.losses import LOSSES, build_loss, choose_loss, fit_data
from embedlib.training.merge import average_with_start
from embedlib.training.options import TrainingJob, TrainOptions, World, emit, train_options
from embedlib.training.plan import (
    TrainingPlan,
    count_steps,
    default_epochs,
    default_learning_rate,
    default_negatives,
    default_tokens,
    estimated_seconds,
    training_bytes,
)
from embedlib.training.sizing import (
    CPU_TOKENS,
    GPU_TOKENS,
    Sizing,
    activation_bytes,
    dry_run,
    forward_backward,
    free_bytes,
    size_step,
    trial_flops,
)
from embedlib.training.trainer import Watch

#: Share of a plain matrix product's speed that a training step reaches, for the estimate of time.
EFFICIENCY = 0.25


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the first step."""

    encoder: LocalEncoder
    data: TrainingSet
    batches: Batches
    loss: str
    steps: int
    sizing: Sizing
    bf16: bool
    world: World


def fine_tune(job: TrainingJob) -> dict[str, Any]:
    """Run a fine-tuning job to its end: ``job.out`` holds the model and ``curve.json``.

    A run that finds a sound checkpoint in ``job.scratch`` goes on from it.

    Returns:
        What the run did, as numbers.

    Raises:
        DataError: The examples do not have the shape that the loss needs.
        NonFiniteLoss: The loss became NaN or infinite.
    """
    options = train_options(job.options)
    prepared = prepare(job, options, World.from_environment())
    plan = plan_of(prepared)
    if prepared.world.main:
        emit("plan", text=str(plan), **dataclasses.asdict(plan))
    dev = people_dev(job, options)
    watcher = _dev_watch(job, options, prepared, dev)
    start = {name: value.detach().clone() for name, value in prepared.encoder.module.state_dict().items()}
    if options.lora is not None:
        add_adapters(prepared.encoder.module, options.lora)
    started = time.monotonic()
    recipe = recipe_of(job, options, prepared)
    watch = train(
        prepared.encoder.module, recipe, Path(job.scratch), seed=job.seed, dev=watcher, world=prepared.world
    )
    seconds = time.monotonic() - started
    chosen: dict[str, float] = {}
    if prepared.world.main:
        if watcher is not None:
            watcher.restore_best()
        merge_adapters(prepared.encoder.module)
        labelled = _labelled(Path(job.inputs["examples"]))
        share, figures = average_with_start(
            prepared.encoder, start, options.share, dev, labelled=labelled, bf16=prepared.bf16
        )
        chosen = {"share": share, **{f"dev_share_{tried}": round(v, 4) for tried, v in figures.items()}}
        _save(job, options, prepared, watcher, watch)
    return _summary(prepared, plan, watcher, watch, seconds) | chosen


def _labelled(examples: Path) -> bool:
    """Whether most examples are judgements, not derived from documents."""
    return labelled_share(examples) >= 0.5


def people_dev(job: TrainingJob, options: TrainOptions) -> DevSet | None:
    """The dev queries, unless they were derived from documents: those chose worse weights than no choice."""
    dev = read_dev(job.inputs, job.seed, options.dev_documents, options.dev_queries)
    return None if dev is None or dev.name == "derived" else dev


def _dev_watch(
    job: TrainingJob, options: TrainOptions, prepared: Prepared, dev: DevSet | None
) -> DevWatch | None:
    """Chooses the best weights on the way; of a teacher's short training only the end is worth keeping."""
    return dev_watch(
        None if prepared.loss == "kl" else dev,
        prepared.encoder,
        steps=prepared.steps,
        evaluations=options.evaluations,
        scratch=Path(job.scratch),
        bf16=prepared.bf16,
        patience=options.patience,
        world=prepared.world,
    )


def prepare(job: TrainingJob, options: TrainOptions, world: World) -> Prepared:
    """Load the model and the examples, check that they fit, and size the steps."""
    device = f"cuda:{world.local_rank}" if default_device() == "cuda" else "cpu"
    encoder = load_encoder(job.model, device=device)
    set_dropout(encoder.module, options.dropout)
    torch.manual_seed(job.seed)
    examples = Path(job.inputs["examples"])
    teacher = load_teacher(examples)
    loss = choose_loss(options.loss, teacher=teacher is not None)
    negatives = options.negatives
    if negatives is None:
        negatives = default_negatives(loss, labelled=_labelled(examples))
    data = load_training_set(
        Corpus(Path(job.inputs["corpus"])),
        examples,
        Path(job.inputs["queries"]),
        negatives=negatives,
        whole=loss == "kl",
    )
    data = fit_data(loss, data, teacher=teacher is not None)
    batches = make_batches(
        loss,
        data,
        encoder,
        batch_size=options.batch_size or LOSSES[loss].batch_size,
        seed=job.seed,
        teacher=teacher,
        per_query=options.per_query,
        max_length=options.max_length or LOSSES[loss].max_length,
        world=world,
    )
    bf16 = resolve_precision(options.precision, device) == "bf16"
    faster_steps(encoder.module, bf16=bf16)
    if bf16 and device == "cpu" and options.lora is None:
        encoder.accelerate()  # dev evaluations: adapters would be missing in the packed weights
    epochs = options.epochs or (1.0 if loss == "kl" else default_epochs(batches.sampler.examples))
    steps = count_steps(batches.sampler.count, epochs, _most_steps(options, loss, batches, device))
    sizing = size_step(
        activation_bytes(encoder.module.config, batches.longest(encoder.max_length or 512), bf16=bf16),
        batches.step_tokens // world.size,
        free_bytes(torch.device(device)),
        enough=CPU_TOKENS if device == "cpu" else GPU_TOKENS,
        wanted=options.mini_batch_tokens,
        always_cached=LOSSES[loss].cached,
    )
    if encoder.module.device.type == "cuda":
        trial = partial(forward_backward, encoder.module, bf16=bf16)
        sizing = dry_run(sizing, batches.step_tokens // world.size, trial)
    return Prepared(encoder, data, batches, loss, steps, sizing, bf16, world)


def _most_steps(options: TrainOptions, loss: str, batches: Batches, device: str) -> int | None:
    """Steps that neither bound exceeds; None without one."""
    tokens = options.max_tokens or default_tokens(loss, device)
    bounds = [options.max_steps or LOSSES[loss].max_steps, tokens and int(tokens / batches.mean_step_tokens)]
    return min((bound for bound in bounds if bound is not None), default=None)


def plan_of(prepared: Prepared) -> TrainingPlan:
    """What the run will do, with its estimated time and memory."""
    module = prepared.encoder.module
    tables = sum(p.numel() for name, p in module.named_parameters() if "embeddings" in name)
    parameters = sum(p.numel() for p in module.parameters())
    tokens = int(prepared.batches.mean_step_tokens * prepared.steps)
    flops = trial_flops(module.device, bf16=prepared.bf16) * prepared.world.size * EFFICIENCY
    return TrainingPlan(
        loss=prepared.loss,
        examples=len(prepared.data),
        steps=prepared.steps,
        epochs=round(prepared.steps / prepared.batches.sampler.count, 2),
        batch_size=prepared.batches.sampler.batch_size,
        tokens=tokens,
        mini_batch_tokens=prepared.sizing.tokens,
        cached=prepared.sizing.cached,
        precision="bf16" if prepared.bf16 else "fp32",
        device=module.device.type,
        processes=prepared.world.size,
        seconds=round(
            estimated_seconds(tokens, parameters - tables, flops, cached=prepared.sizing.cached), 1
        ),
        memory_mb=round(training_bytes(parameters, prepared.sizing.step_bytes) / 2**20, 1),
    )


def load_teacher(examples: Path) -> DistillationTeacher | None:
    """The teacher stored beside the examples; None when there is none."""
    folder = examples / "teacher"
    if not folder.is_dir():
        return None
    from embedlib.mining.teacher import HybridTeacher

    teacher: DistillationTeacher = HybridTeacher.load(folder)
    return teacher


def recipe_of(job: TrainingJob, options: TrainOptions, prepared: Prepared) -> TrainingRecipe:
    """The training loop's view of a prepared fine-tuning."""
    guide = load_encoder(options.guide or job.model).module if "gist" in prepared.loss else None
    loss = build_loss(
        prepared.loss,
        prepared.encoder.module,
        options,
        mini_batch_tokens=prepared.sizing.tokens,
        cached=prepared.sizing.cached,
        guide=guide,
        gather=prepared.world.size > 1,
    )
    parameters = sum(p.numel() for p in prepared.encoder.module.parameters())
    return TrainingRecipe(
        loss,
        prepared.batches.positions,
        prepared.batches.sampler,
        prepared.batches.collate,
        prepared.data.names,
        prepared.steps,
        options.learning_rate
        or default_learning_rate(prepared.loss, parameters, lora=options.lora is not None),
        prepared.bf16,
        options.warmup,
        options.weight_decay,
        options.max_grad_norm,
        job.checkpoint_s,
    )


def _save(
    job: TrainingJob, options: TrainOptions, prepared: Prepared, dev: DevWatch | None, watch: Watch
) -> None:
    out = Path(job.out)
    made = Provenance(
        made="fine-tuned model",
        **job.provenance,
        loss=prepared.loss,
        seed=job.seed,
        options=dataclasses.asdict(options),
    )
    save_model(prepared.encoder, out, made)
    points = [] if dev is None else [{"step": p.step, "ndcg@10": round(p.value, 6)} for p in dev.points]
    best = None if dev is None or dev.best is None else dev.best.step
    TrainingCurve(loss=watch.losses, dev=points, best_step=best).write(out)


def _summary(
    prepared: Prepared, plan: TrainingPlan, dev: DevWatch | None, watch: Watch, seconds: float
) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "loss_name": prepared.loss,
        "examples": len(prepared.data),
        "steps": prepared.steps,
        "tokens": plan.tokens,
        "train_seconds": round(seconds, 1),
        "examples_per_s": round(prepared.steps * prepared.batches.sampler.batch_size / max(seconds, 1e-9), 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
    if watch.losses:
        summary |= {"loss_first": watch.losses[0]["loss"], "loss_last": watch.losses[-1]["loss"]}
    if dev is not None and dev.best is not None:
        summary |= {"dev_before": dev.points[0].value, "dev_best": dev.best.value, "best_step": dev.best.step}
    return summary
