"""A model for other runtimes, ONNX and OpenVINO, from token ids to the text's vector, checked against it.

The whole pipeline is converted, pooling and normalisation included, unlike optimum's files, which end at
the tokens' vectors; hence their names, which sentence-transformers does not take for its own.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from embedlib.contracts import Floats
from embedlib.errors import UserError, VerificationError
from embedlib.evaluation.measures import score_run
from embedlib.models.encoder import unit_norm
from embedlib.publishing.judged_sample import MEASURE, JudgedSample

RUNTIMES: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
}
MIN_COSINE = 0.999
#: Texts converted vectors are made of at once.
BATCH = 16
#: Most that the mean nDCG@10 of judged queries may differ.
MAX_CHANGE = 0.002
_REMEDY = "export --format model instead, and report the model's architecture"
_NAME = "sentence_embedding"
_EXAMPLES = ["a short text", "a somewhat longer text, so that the other one is padded"]
_Run = Callable[[dict[str, Any]], Floats]


class _Pipeline(torch.nn.Module):  # type: ignore[misc]
    """Every module of a sentence-transformers model, with tensors as arguments."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Tensors [B, S] of token ids, masks and the like → vectors [B, d]."""
        return cast(torch.Tensor, self.model(dict(zip(self.names, tensors, strict=True)))[_NAME])


def convert(
    folder: Path, runtime: str, texts: Sequence[str], judged: JudgedSample | None = None
) -> dict[str, Any]:
    """Put the converted model into the model's folder, if it gives the model's vectors.

    Args:
        folder: A sentence-transformers folder.
        runtime: ``onnx`` or ``openvino``.
        texts: On which both are compared.
        judged: Queries on which both rank documents.

    Returns:
        ``runtime``, ``file``, ``inputs``, the smallest cosine over how many texts, and where queries are
        judged the nDCG@10 of both over how many queries.

    Raises:
        UserError: The runtime is not installed.
        VerificationError: A vector has a cosine below ``MIN_COSINE`` to the model's, or the nDCG@10 is
            further from the model's than ``MAX_CHANGE``.
    """
    require(runtime)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu").eval()
    features = _tensors(model, _EXAMPLES)
    pipeline = _Pipeline(model, list(features)).eval()
    write = _write_onnx if runtime == "onnx" else _write_openvino
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing says of shapes is checked below
        name, run = write(pipeline, features, folder)
        # the first text again, alone: padding must change nothing
        pairs = [_vectors(model, run, chosen) for chosen in (texts, texts[:1])]
        cosine = float(np.min(np.concatenate([(ours * theirs).sum(axis=1) for ours, theirs in pairs])))
        quality = _quality(model, run, judged) if judged else {}
    if not cosine >= MIN_COSINE:
        raise VerificationError(
            f"the {runtime} model does not give the model's vectors",
            where=str(folder / name),
            expected=f"cosine of at least {MIN_COSINE}",
            found=f"{cosine:.5f} on the worst of {len(texts)} texts",
            remedy=_REMEDY,
        )
    if quality and not abs(quality["ndcg"] - quality["model_ndcg"]) <= MAX_CHANGE:
        raise VerificationError(
            f"the {runtime} model does not rank as the model does",
            where=str(folder / name),
            expected=f"nDCG@10 within {MAX_CHANGE} of {quality['model_ndcg']:.4f}",
            found=f"{quality['ndcg']:.4f} on {quality['queries']} judged queries",
            remedy=_REMEDY,
        )
    return {
        "runtime": runtime,
        "file": name,
        "inputs": list(features),
        "cosine": round(cosine, 6),
        "texts": len(texts),
        **quality,
    }


def require(runtime: str) -> None:
    """Check that a runtime is installed.

    Raises:
        UserError: It is not.
    """
    absent = [name for name in RUNTIMES[runtime] if find_spec(name) is None]
    if absent:
        raise UserError(
            f"no {runtime} here",
            expected=", ".join(RUNTIMES[runtime]),
            found=f"without {', '.join(absent)}",
            remedy=f'pip install "embedlib[{runtime}]"',
        )


def _write_onnx(pipeline: _Pipeline, features: dict[str, torch.Tensor], folder: Path) -> tuple[str, _Run]:
    import onnxruntime

    name = f"{_NAME}.onnx"
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence")
    torch.onnx.export(
        pipeline,
        tuple(features.values()),
        str(folder / name),
        input_names=list(features),
        output_names=[_NAME],
        dynamic_shapes={"tensors": tuple({0: batch, 1: sequence} for _ in features)},
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
    return name, lambda arrays: cast(Floats, session.run(None, arrays)[0])


def _write_openvino(pipeline: _Pipeline, features: dict[str, torch.Tensor], folder: Path) -> tuple[str, _Run]:
    with _no_telemetry():
        import openvino

        converted = openvino.convert_model(pipeline, example_input=tuple(features.values()))
    for port, given in zip(converted.inputs, features, strict=True):
        port.get_tensor().set_names({given})
    converted.outputs[0].get_tensor().set_names({_NAME})
    name = f"{_NAME}.xml"
    openvino.save_model(converted, str(folder / name), compress_to_fp16=False)
    compiled = openvino.compile_model(str(folder / name), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return name, lambda arrays: cast(Floats, compiled(arrays)[0])


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """OpenVINO's converter reports its use unless the package that does so is not there."""
    before = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = cast(Any, None)
    try:
        yield
    finally:
        sys.modules.pop("openvino_telemetry")
        if before is not None:
            sys.modules["openvino_telemetry"] = before


def _quality(model: Any, run: _Run, judged: JudgedSample) -> dict[str, Any]:
    """nDCG@10 of the converted model and of the model on the same documents."""
    prompts = model.prompts or {}
    queries = [prompts.get("query", "") + text for text in judged.queries.values()]
    documents = [prompts.get("document", "") + text for text in judged.documents.values()]
    pairs = [_vectors(model, run, texts) for texts in (queries, documents)]
    means = []
    for q, d in zip(*pairs, strict=True):  # the model's, then the converted one's: [q, d] and [n, d]
        query = dict(zip(judged.queries, q, strict=True))
        document = dict(zip(judged.documents, d, strict=True))
        scores = {
            name: {doc: float(query[name] @ document[doc]) for doc in found}
            for name, found in judged.candidates.items()
        }
        values = score_run(scores, judged.qrels, [MEASURE])[MEASURE]
        means.append(round(sum(values.values()) / len(values), 6))
    return {"model_ndcg": means[0], "ndcg": means[1], "queries": len(queries)}


def _vectors(model: Any, run: _Run, texts: Sequence[str]) -> tuple[Floats, Floats]:
    """Unit vectors of the model and of the converted one, both [n, d]; texts of like length together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found: list[list[Any]] = [[], []]
    for start in range(0, len(order), BATCH):
        features = _tensors(model, [texts[i] for i in order[start : start + BATCH]])
        found[0].append(model(dict(features))[_NAME].numpy())
        found[1].append(run({name: tensor.numpy() for name, tensor in features.items()}))
    back = np.argsort(order)
    ours, theirs = (unit_norm(np.concatenate(blocks)[back]) for blocks in found)
    return ours, theirs


def _tensors(model: Any, texts: Sequence[str]) -> dict[str, torch.Tensor]:
    return {n: t for n, t in model.preprocess(list(texts)).items() if isinstance(t, torch.Tensor)}
