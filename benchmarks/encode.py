"""Encoding speed against sentence-transformers on the same documents, and what it costs in quality.

Each system lives in a process of its own and they take turns, chunk by chunk, so that whatever else
the machine does falls on all of them alike; the figures are medians over the chunks. Fails when
vectors or rankings are wrong, not when they are slow.

    pip install openvino                        # to compare with it, too
    python -m benchmarks.encode                 # speed, cosine, nDCG@10 on nfcorpus (about 8 minutes)
    python -m benchmarks.encode --no-quality    # without nfcorpus
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workspace import DATA, ROOT, arguments, debian, machine

MODEL = "all-MiniLM-L6-v2"
SYSTEMS = ("library fp32", "library bf16", "library bf16, batch 128", "library OpenVINO", "embedlib")
LEAST_COSINE, MOST_NDCG_LOSS = 0.999, 0.002


def main() -> int:
    """Run what was asked for; 1 when vectors are wrong."""
    parser = arguments(__doc__)
    parser.add_argument("--chunks", type=int, default=6, help="turns each system gets")
    parser.add_argument("--documents", type=int, help="a random part of the documents, for a quick look")
    parser.add_argument("--no-quality", action="store_true", help="leave out nfcorpus")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if options.worker:
        return worker(options.worker)
    print(machine("torch", "transformers", "sentence-transformers"))
    return speed(options.chunks, options.documents, quality=not options.no_quality)


def speed(chunks: int, limit: int | None, *, quality: bool) -> int:
    """All systems in turn over the same chunks of documents."""
    texts = documents()
    order = np.random.default_rng(0).permutation(len(texts))[:limit]
    parts = [[texts[i] for i in part] for part in np.array_split(order, chunks)]
    workers = {name: Worker(name) for name in (*SYSTEMS, "gemm")}
    missing = [name for name, w in workers.items() if not w.ready]
    for name in missing:
        print(f"{name}: left out, {workers.pop(name).why}")
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    cosines: dict[str, list[float]] = {name: [] for name in workers}
    for number, part in enumerate(parts):
        exact = None
        for name, running in workers.items():
            turn = running.turn(part)
            turns[name].append(turn)
            if name != "gemm":
                vectors = np.load(turn["vectors"])
                exact = vectors if exact is None else exact
                cosines[name] += np.einsum("nd,nd->n", vectors, exact).tolist()
        print(f"chunk {number + 1} of {chunks}", file=sys.stderr)
    for running in workers.values():
        running.close()
    right = show(turns, cosines)
    return 0 if right and (not quality or ndcg_is_kept()) else 1


def show(turns: dict[str, list[dict[str, Any]]], cosines: dict[str, list[float]]) -> bool:
    """Print the table; whether every system's vectors are those of fp32."""
    gemm = statistics.median(turn["flops_per_s"] for turn in turns.pop("gemm"))
    rates = {name: statistics.median(t["tokens"] / t["seconds"] for t in of) for name, of in turns.items()}
    tokens = sum(t["tokens"] for t in next(iter(turns.values())))
    print(f"{tokens:,} tokens; bf16 GEMM of this machine: {gemm / 1e12:.2f} TFLOP/s")
    print(f"{'system':26}{'tokens/s':>10}{'x fp32':>8}{'GEMM':>7}{'peak MB':>9}{'cosine':>10}{'worst':>9}")
    for name, rate in rates.items():
        share = rate * turns[name][0]["flops_per_token"] / gemm
        peak = max(t["peak_mb"] for t in turns[name])
        mean, worst = np.mean(cosines[name]), np.min(cosines[name])
        relative = rate / rates["library fp32"]
        print(f"{name:26}{rate:10,.0f}{relative:8.2f}{share:7.0%}{peak:9,.0f}{mean:10.6f}{worst:9.5f}")
    best = max(rate for name, rate in rates.items() if name not in ("embedlib", "library fp32"))
    print(f"embedlib: {rates['embedlib'] / rates['library fp32']:.2f} x the library's defaults (target 4)")
    print(f"embedlib: {rates['embedlib'] / best:.2f} x the library's best of bf16 and OpenVINO (target 1.5)")
    return bool(np.mean(cosines["embedlib"]) >= LEAST_COSINE)


def ndcg_is_kept() -> bool:
    """nDCG@10 on nfcorpus in fp32 and in the precision that is chosen here."""
    from embedlib.evaluation.beir import read_beir_set
    from embedlib.models.local import load_encoder

    if not (DATA / "nfcorpus").is_dir():
        print("nfcorpus: left out, not found")
        return True
    judged = read_beir_set(DATA / "nfcorpus")
    exact, fast = (judged.score(load_encoder(MODEL, dtype=dtype))[0] for dtype in ("fp32", "auto"))
    print(f"nfcorpus nDCG@10: fp32 {exact:.4f}, embedlib {fast:.4f}, difference {fast - exact:+.4f}")
    return abs(fast - exact) <= MOST_NDCG_LOSS


def documents() -> list[str]:
    """2,000 docstrings of the standard library and 4,000 package descriptions, if they are at hand."""
    from embedlib.contracts import document_text
    from embedlib.corpus.docstrings import docstring_documents, standard_library
    from embedlib.corpus.records import Record

    found = [d for d in docstring_documents([standard_library()]) if isinstance(d, Record)]
    texts = [document_text(d.title, d.text) for d in found[:2000]]
    return texts + package_descriptions(4000)


def package_descriptions(count: int) -> list[str]:
    """The first descriptions of scale-debian; none without the data."""
    from embedlib.contracts import document_text

    if not (DATA / "scale-debian").is_dir():
        print("scale-debian: left out, not found")
        return []
    return [document_text(d.get("title", ""), d["text"]) for d in debian(count)]


class Worker:
    """A system in its own process, told by lines of JSON what to encode."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, "-m", "benchmarks.encode", "--worker", name]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )
        answer = self._read()
        self.ready, self.why = bool(answer.get("ready")), str(answer.get("why", "it ended"))

    def turn(self, texts: list[str]) -> dict[str, Any]:
        """Encode; tokens, seconds, peak memory and the file of vectors."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(30)

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        return json.loads(line) if line else {}


def worker(name: str) -> int:
    """Load a system, warm it up, then serve turns until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    try:
        encode, tokens, flops = gemm() if name == "gemm" else system(name)
        encode([f"{'warm up ' * (i % 200)} {i}" for i in range(300)])
    except (ImportError, ValueError, OSError, RuntimeError) as error:
        answers.write(json.dumps({"ready": False, "why": str(error).splitlines()[0]}) + "\n")
        return 0
    answers.write(json.dumps({"ready": True}) + "\n")
    from embedlib.memory import peak_memory_mb

    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            texts = json.loads(line)
            started = time.perf_counter()
            result = encode(texts)
            seconds = time.perf_counter() - started
            answer = {"seconds": seconds, "peak_mb": peak_memory_mb()}
            if name == "gemm":
                answer["flops_per_s"] = result
            else:
                answer |= {"tokens": tokens(texts), "flops_per_token": flops}
                answer["vectors"] = str(Path(folder) / "vectors.npy")
                np.save(answer["vectors"], result)
            answers.write(json.dumps(answer) + "\n")
    return 0


def system(name: str) -> tuple[Callable[[list[str]], Any], Callable[[list[str]], int], float]:
    """(encode, count tokens, floating-point operations a token in matrix products) of a system."""
    import torch

    from embedlib.models.local import load_encoder
    from embedlib.models.resolve import resolve_model

    encoder = load_encoder(MODEL, dtype="auto" if name == "embedlib" else "fp32")

    def tokens(texts: list[str]) -> int:
        return int(np.minimum(encoder.count_tokens(texts), encoder.max_length or 10**9).sum())

    layers = encoder.module[0].auto_model.encoder.layer
    flops = 2.0 * sum(p.numel() for p in layers.parameters() if p.ndim == 2)
    if name == "embedlib":
        return encoder.encode, tokens, flops
    from sentence_transformers import SentenceTransformer

    options: dict[str, Any] = {}
    if "bf16" in name:
        options["model_kwargs"] = {"torch_dtype": torch.bfloat16}
    module = SentenceTransformer(str(resolve_model(MODEL)), device="cpu", **options)
    if "OpenVINO" in name:
        put_openvino_in(module)
    size = 128 if "128" in name else 32

    def encode(texts: list[str]) -> Any:
        return module.encode(texts, batch_size=size, show_progress_bar=False)

    return encode, tokens, flops


def put_openvino_in(module: Any) -> None:
    """Compile the transformer with OpenVINO (bf16 where the processor has it), in the library's own loop.

    The library's ``backend="openvino"`` does the same through optimum-intel, which does not install
    beside the tested transformers (2.2 wants less than 5.6).
    """
    import openvino
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    model = module[0].auto_model
    model.config.return_dict = False
    example = {name: torch.ones(2, 16, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    compiled = openvino.Core().compile_model(openvino.convert_model(model, example_input=example), "CPU")

    def forward(input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        states = compiled({"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()})[0]
        return BaseModelOutput(last_hidden_state=torch.from_numpy(states))

    model.forward = forward


def gemm() -> tuple[Callable[[list[str]], float], Callable[[list[str]], int], float]:
    """The best rate of a large bf16 product, in floating-point operations a second."""
    import torch

    a, b = (torch.randn(4096, 4096).to(torch.bfloat16) for _ in range(2))

    def best(_: list[str]) -> float:
        seconds = []
        for _turn in range(5):
            started = time.perf_counter()
            a @ b
            seconds.append(time.perf_counter() - started)
        return float(2 * 4096**3 / min(seconds))

    return best, len, 0.0


if __name__ == "__main__":
    sys.exit(main())
