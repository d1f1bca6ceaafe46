"""ONNX and OpenVINO give the model's vectors, or nothing is written."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from embedlib.cli.model_export import verdict
from embedlib.errors import UserError, VerificationError
from embedlib.publishing import convert as converting
from embedlib.publishing.folder import export_model
from embedlib.publishing.judged_sample import judged_sample

TEXTS = ["river stone", "a", "window garden engine market letter bridge winter candle " * 12, "silver bottle"]

#: The release is made by real stages.
pytestmark = pytest.mark.timeout(300)


def _installed(runtime: str) -> None:
    for name in converting.RUNTIMES[runtime]:
        pytest.importorskip(name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_the_converted_model_gives_the_model_s_vectors(runtime: str, tuned, tmp_path: Path) -> None:
    _installed(runtime)
    from sentence_transformers import SentenceTransformer

    judged = judged_sample(tuned.root, tuned.release)
    convert = partial(converting.convert, runtime=runtime, texts=TEXTS, judged=judged)
    info = export_model(tuned.root, tuned.release, tmp_path / "out", name="acme/search", convert=convert)
    assert info["cosine"] >= 0.999
    assert info["queries"] == 20
    assert 0.2 < info["ndcg"] == pytest.approx(info["model_ndcg"], abs=0.002)
    assert info["file"] in (tmp_path / "out" / "README.md").read_text()
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    features = {n: t.numpy() for n, t in model.preprocess(TEXTS).items() if n in info["inputs"]}
    path = str(tmp_path / "out" / info["file"])
    if runtime == "onnx":
        import onnxruntime

        found = onnxruntime.InferenceSession(path).run(None, features)[0]
    else:
        import openvino

        found = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(features)[0]
    np.testing.assert_allclose(found, model.encode(TEXTS), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_converted_model_with_other_vectors_is_refused(tuned, tmp_path: Path, monkeypatch) -> None:
    _installed("openvino")
    write = converting._write_openvino

    def broken(pipeline, features, folder):
        name, run = write(pipeline, features, folder)
        return name, lambda arrays: run(arrays)[:, ::-1]

    monkeypatch.setattr(converting, "_write_openvino", broken)
    convert = partial(converting.convert, runtime="openvino", texts=TEXTS)
    with pytest.raises(VerificationError, match="does not give the model's vectors"):
        export_model(tuned.root, tuned.release, tmp_path / "out", name="x", convert=convert)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore")
def test_a_converted_model_that_ranks_otherwise_is_refused(tuned, tmp_path: Path, monkeypatch) -> None:
    _installed("openvino")
    write = converting._write_openvino

    def broken(pipeline, features, folder):
        name, run = write(pipeline, features, folder)
        noise = np.random.default_rng(0)

        def noisy(arrays):
            vectors = run(arrays)
            return vectors + 0.03 * vectors.std() * noise.standard_normal(vectors.shape, dtype=np.float32)

        return name, noisy

    monkeypatch.setattr(converting, "_write_openvino", broken)
    judged = judged_sample(tuned.root, tuned.release)
    assert judged is not None
    assert all(len(documents) > 5 for documents in judged.candidates.values())
    convert = partial(converting.convert, runtime="openvino", texts=TEXTS, judged=judged)
    with pytest.raises(VerificationError, match="does not rank as the model does"):
        export_model(tuned.root, tuned.release, tmp_path / "out", name="x", convert=convert)


def test_the_verdict_of_an_export_has_what_was_measured() -> None:
    found = {
        "runtime": "onnx",
        "cosine": 0.99999,
        "texts": 32,
        "ndcg": 0.41,
        "model_ndcg": 0.4101,
        "queries": 52,
    }
    assert verdict({"release": 2}, Path("out")) == "model of release 2 in out"
    _, line = verdict({"release": 2, **found}, Path("out")).splitlines()
    assert (
        line
        == "onnx: cosine at least 0.99999 on 32 texts; nDCG@10 0.4100, the model's 0.4101, on 52 judged queries"
    )


def test_a_runtime_that_is_not_installed_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(converting.RUNTIMES, "onnx", ("no_such_package",))
    with pytest.raises(UserError, match="no onnx here") as error:
        converting.require("onnx")
    assert 'pip install "embedlib[onnx]"' in error.value.remedy


def test_the_command_writes_the_model_with_its_card(tuned, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from embedlib.cli import main  # noqa: F401 - registers every command
    from embedlib.cli.app import app

    command = ["export", str(tmp_path / "out"), "--workspace", str(tuned.root), "--format", "model", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["release"] == tuned.release.number
    assert (tmp_path / "out" / "README.md").read_text().count("# out") == 1
