"""Unsupervised adaptation of an encoder to a collection, kept only if dev says that it does no harm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from embedlib.contracts import Corpus
from embedlib.evaluation.lineage import Provenance
from embedlib.evaluation.significance import paired_bootstrap
from embedlib.evaluation.statistics import Resampling
from embedlib.models.hardware import default_device, resolve_precision
from embedlib.models.local import LocalEncoder, load_encoder
from embedlib.training.backbone import faster_steps
from embedlib.training.damage import DamagingCollator, MaskingCollator
from embedlib.training.data import sample_documents
from embedlib.training.folder import save_model
from embedlib.training.heads import Denoising, MaskedTokens
from embedlib.training.loop import TrainingRecipe, dev_score, read_dev, train
from embedlib.training.options import TrainingJob, emit
from embedlib.training.plan import count_steps
from embedlib.training.sampler import ExampleBatches


def adapt(job: TrainingJob) -> dict[str, Any]:
    """Adapt ``job.model`` to the corpus; ``job.out`` holds the adapted model, or the old one unchanged.

    ``job.options`` are those of the configuration's section Adapt. The adapted model is kept when
    its mean dev nDCG@10 is not below the old one's; without a dev set there is nothing to judge it
    by, and the old one stays.

    Returns:
        ``kept`` (1 or 0), ``reason`` and the dev figures.

    Raises:
        ModelError: The model has no token embeddings, or no mask token for MLM.
    """
    options = job.options
    dev = read_dev(job.inputs, job.seed)
    if dev is None:
        return _unchanged(job, "there is no dev set to judge it by", {})
    encoder = load_encoder(job.model, device=default_device())
    bf16 = resolve_precision(options["precision"]) == "bf16"
    before = dev_score(dev, encoder, bf16=bf16)[1]
    numbers = _train(job, encoder, bf16)
    after = dev_score(dev, encoder, bf16=bf16)[1]
    change = paired_bootstrap(after, before, Resampling(np.random.default_rng([job.seed, *b"adapt"])))
    numbers |= {"dev_before": float(before.mean()), "dev_after": float(after.mean())}
    numbers |= {"delta": change.mean, "low": change.low, "high": change.high, "n": change.n}
    if change.mean < 0:
        return _unchanged(job, f"it costs {-change.mean:.4f} nDCG@10 on dev", numbers)
    made = f"model adapted by {options['method']}"
    save_model(
        encoder, Path(job.out), Provenance(made=made, **job.provenance, seed=job.seed, options=options)
    )
    return {"kept": 1, "reason": "dev nDCG@10 does not fall", **numbers}


def _train(job: TrainingJob, encoder: LocalEncoder, bf16: bool) -> dict[str, Any]:
    """Train in place; the encoder's maximum length and prompts stay what they were."""
    options, module = job.options, encoder.module
    torch.manual_seed(job.seed)
    faster_steps(module, bf16=bf16)
    _, texts = sample_documents(Corpus(Path(job.inputs["corpus"])), options["max_documents"], job.seed)
    length = module.max_seq_length
    module.max_seq_length = min(options["max_length"], length or options["max_length"])
    loss: torch.nn.Module
    if options["method"] == "mlm":
        collate: Any = MaskingCollator(texts, module, seed=job.seed)
        loss = MaskedTokens(module, bf16=bf16)
    else:
        collate = DamagingCollator(texts, module, seed=job.seed)
        loss = Denoising(module, int(module.tokenizer.pad_token_id), bf16=bf16)
    sampler = ExampleBatches(
        [(i,) for i in range(len(texts))], batch_size=options["batch_size"], seed=job.seed
    )
    steps = count_steps(sampler.count, options["epochs"], None)
    emit("plan", text=f"{options['method']}: {len(texts)} documents, {steps} steps")
    positions = list(range(len(texts)))
    names = [f"document {i}" for i in positions]
    recipe = TrainingRecipe(
        loss,
        positions,
        sampler,
        collate,
        names,
        steps,
        options["learning_rate"],
        bf16=False,
        checkpoint_s=job.checkpoint_s,
    )
    watch = train(module, recipe, Path(job.scratch), seed=job.seed)
    module.max_seq_length = length
    return {"documents": len(texts), "steps": steps, "loss_last": watch.losses[-1]["loss"]}


def _unchanged(job: TrainingJob, reason: str, numbers: dict[str, Any]) -> dict[str, Any]:
    shutil.copytree(job.model, job.out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artifact.json"))
    return {"kept": 0, "reason": f"adaptation is left out: {reason}", **numbers}
