"""Tokens a second and model FLOPs utilisation (MFU) on a GPU, beside plain sentence-transformers.

    python -m benchmarks.gpu [--texts 20000] [--pairs 512] [--steps 8]

Encoding and the gradient-cached (GradCache) training step, on random weights of the sizes of
all-MiniLM-L6-v2 and all-mpnet-base-v2, over made-up texts of mixed lengths: nothing is downloaded.
Both sides see the same texts in one run. Fails when results differ: vectors by cosine, the first
loss by bf16's precision. Without a GPU a tiny version runs on the CPU, which shows that the script
works and nothing about speed (MFU is then against a measured matrix product).

Needs torch and sentence-transformers only: no Prefect, MLflow, FAISS or PyArrow.
"""

from __future__ import annotations

import importlib.util
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import numpy as np
import torch

if importlib.util.find_spec("pyarrow") is None:
    # embedlib.contracts names its table types when it is imported; nothing here reads a table.
    sys.modules["pyarrow"] = sys.modules["pyarrow.parquet"] = MagicMock()

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from benchmarks.workspace import arguments
from embedlib.models.local import load_encoder
from embedlib.training.backbone import faster_steps
from embedlib.training.inbatch import InBatchLoss, info_nce
from embedlib.training.sizing import GPU_TOKENS, forward_backward, largest_fitting, trial_flops

#: Dense bf16 peak by device name, FLOP/s (NVIDIA's data sheets, without sparsity).
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "T4": 65e12,
}
SIZES = {"all-MiniLM-L6-v2": (384, 6, 12, 1536), "all-mpnet-base-v2": (768, 12, 12, 3072)}
VOCABULARY, MAX_LENGTH = 30_522, 256
LEAST_COSINE, MOST_LOSS_DIFFERENCE = 0.99, 0.02


class Load(NamedTuple):
    """How much work: texts to encode, pairs a step, steps a turn, turns."""

    texts: int
    pairs: int
    steps: int
    rounds: int


def main() -> int:
    """Measure each size; 1 when results differ."""
    parser = arguments(__doc__)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    load = Load(options.texts, options.pairs, options.steps, options.rounds) if cuda else Load(64, 8, 1, 1)
    name = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    peak = next((p for key, p in PEAKS.items() if key in name), None) or trial_flops(
        device, bf16=True, size=1024
    )
    print(f"{name}, torch {torch.__version__}, bf16 peak {peak / 1e12:.1f} TFLOP/s")
    good = True
    for size, shape in SIZES.items() if cuda else [("tiny", (64, 2, 2, 128))]:
        with tempfile.TemporaryDirectory() as folder:
            build_model(Path(folder), shape)
            good &= encoding(size, Path(folder), device, load, peak)
            good &= training(size, Path(folder), device, load, peak)
    return 0 if good else 1


def build_model(folder: Path, shape: tuple[int, int, int, int]) -> None:
    """A BERT of random weights with a word tokenizer, as a sentence-transformers folder."""
    hidden, layers, heads, inner = shape
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(VOCABULARY - 4))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder / "backbone")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(folder / "backbone")
    transformer = modules.Transformer(str(folder / "backbone"), max_seq_length=MAX_LENGTH)
    parts = [transformer, modules.Pooling(hidden, pooling_mode="mean"), modules.Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder / "model"), create_model_card=False)


def made_up(count: int, mean: float, seed: int) -> list[str]:
    """Texts of random words, their numbers of words log-normal around ``mean``."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(mean), 0.6, count).astype(int), 3, MAX_LENGTH - 2)
    return [" ".join(f"w{i}" for i in rng.zipf(1.3, n) % (VOCABULARY - 4)) for n in lengths]


def tokens_of(texts: list[str]) -> int:
    """Tokens with the two special ones."""
    return sum(len(text.split()) + 2 for text in texts)


def forward_flops(model: SentenceTransformer, texts: list[str]) -> float:
    """FLOPs of one forward pass without padding: 2 a weight and token, 4·h a layer and pair of tokens."""
    weights = sum(p.numel() for n, p in model.named_parameters() if "embeddings" not in n)
    config = model.transformers_model.config
    pairs = sum((len(text.split()) + 2) ** 2 for text in texts)
    return 2.0 * weights * tokens_of(texts) + 4.0 * config.hidden_size * config.num_hidden_layers * pairs


class Turn(NamedTuple):
    """Seconds, and peak GPU memory in GiB."""

    seconds: float
    memory: float


def timed(work: Callable[[], Any], device: torch.device) -> Turn:
    """Do some work, the device's queue emptied before and after."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    work()
    if cuda:
        torch.cuda.synchronize()
    memory = torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0
    return Turn(time.perf_counter() - started, memory)


def take_turns(
    sides: dict[str, Callable[[], Any]],
    device: torch.device,
    rounds: int,
    tokens: int,
    flops: float,
    peak: float,
) -> dict[str, float]:
    """Every side works in turn, ``rounds`` times; prints a line each and returns tokens a second."""
    turns: dict[str, list[Turn]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            turns[name].append(timed(side, device))
    speeds = {}
    for name, found in turns.items():
        seconds = statistics.median(t.seconds for t in found)
        memory = max(t.memory for t in found)
        speeds[name] = tokens / seconds
        share = flops / seconds / peak
        print(f"  {name:40} {speeds[name]:12,.0f} tokens/s  MFU {share:6.1%}  peak {memory:5.2f} GiB")
    return speeds


def encoding(size: str, folder: Path, device: torch.device, load: Load, peak: float) -> bool:
    """Encode the same texts on every side, taking turns; whether the vectors agree."""
    texts = made_up(load.texts, 90, seed=1)
    full = SentenceTransformer(str(folder / "model"), device=str(device))
    half = SentenceTransformer(str(folder / "model"), device=str(device)).bfloat16()
    encoder = load_encoder(folder / "model", device=str(device), dtype="bf16")
    sides: dict[str, Callable[[], Any]] = {
        "sentence-transformers fp32": lambda: full.encode(texts, show_progress_bar=False),
        "sentence-transformers bf16": lambda: half.encode(texts, show_progress_bar=False),
        "embedlib bf16": lambda: encoder.encode_documents(texts),
    }
    flops, tokens = forward_flops(full, texts), tokens_of(texts)
    print(f"{size}: encoding {len(texts)} texts, {tokens / len(texts):.0f} tokens each")
    for side in sides.values():
        side()
    speeds = list(take_turns(sides, device, load.rounds, tokens, flops, peak).values())
    print(f"  embedlib / sentence-transformers bf16: {speeds[2] / speeds[1]:.2f}")
    wanted, found = full.encode(texts[:256]), encoder.encode_documents(texts[:256])
    cosine = float((wanted * found).sum(axis=1).min())
    print(f"  lowest cosine with fp32: {cosine:.5f}")
    return cosine >= LEAST_COSINE


def training(size: str, folder: Path, device: torch.device, load: Load, peak: float) -> bool:
    """Gradient-cached steps on the same pairs on every side; whether the first loss agrees."""
    batch = (made_up(load.pairs, 12, seed=2), made_up(load.pairs, 120, seed=3))
    sides = {
        "sentence-transformers CachedMNRL fp32": Side(folder, device, batch, ours=False, bf16=False),
        "sentence-transformers CachedMNRL bf16": Side(folder, device, batch, ours=False, bf16=True),
        "embedlib cached-mnrl bf16": Side(folder, device, batch, ours=True, bf16=True),
    }
    first = [float(side.step()) for side in sides.values()]
    texts = [*batch[0], *batch[1]]
    model = next(iter(sides.values())).model
    flops, tokens = (
        4 * forward_flops(model, texts),
        tokens_of(texts),
    )  # forward, replay, backward twice as much
    print(f"{size}: training, {load.pairs} pairs a step, {tokens} tokens")
    runs = {name: partial(side.steps, load.steps) for name, side in sides.items()}
    work = (tokens * load.steps, flops * load.steps)
    speeds = list(take_turns(runs, device, load.rounds, *work, peak).values())
    print(f"  embedlib / sentence-transformers bf16: {speeds[2] / speeds[1]:.2f}")
    print("  first loss: " + ", ".join(f"{value:.4f}" for value in first))
    return max(abs(value - first[0]) / first[0] for value in first) <= MOST_LOSS_DIFFERENCE


class Side:
    """One way to train: a model, its optimiser and a batch, which is the same at every step."""

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        batch: tuple[list[str], list[str]],
        *,
        ours: bool,
        bf16: bool,
    ) -> None:
        queries, documents = batch
        self.model = SentenceTransformer(str(folder / "model"), device=str(device))
        self.bf16, self.device = bf16, device
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=ours)
        self.loss: torch.nn.Module
        labels = None
        columns = [queries, documents]
        if ours:
            faster_steps(self.model, bf16=bf16)
            order = sorted(range(len(queries)), key=lambda i: len(documents[i]))
            by_length = sorted(range(len(queries)), key=lambda i: len(queries[i]))
            place = {pair: column for column, pair in enumerate(order)}
            columns = [[queries[i] for i in by_length] + [documents[i] for i in order]]
            labels = torch.zeros(len(queries), len(documents))
            labels[range(len(queries)), [place[i] for i in by_length]] = 1.0
            trial = GPU_TOKENS if device.type == "cuda" else 2048
            tokens = largest_fitting(trial, lambda n: forward_backward(self.model, n, bf16=bf16))
            self.loss = InBatchLoss(self.model, info_nce, scale=20.0, mini_batch_tokens=tokens, cached=True)
        else:
            self.loss = CachedMultipleNegativesRankingLoss(self.model, scale=20.0)
        self.features = [
            {
                k: v.to(device) if isinstance(v, torch.Tensor) else v
                for k, v in self.model.preprocess(c).items()
            }
            for c in columns
        ]
        self.labels = None if labels is None else labels.to(device)

    def steps(self, count: int) -> None:
        """Several optimiser steps."""
        for _ in range(count):
            self.step()

    def step(self) -> torch.Tensor:
        """One optimiser step; the loss stays on the device."""
        self.model.train()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.loss([dict(f) for f in self.features], self.labels)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.detach()


if __name__ == "__main__":
    sys.exit(main())
