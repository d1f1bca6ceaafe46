"""A static student: made from its teacher's tokens, trained, saved and opened like any model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedlib.config.training import Distil
from embedlib.contracts import Corpus
from embedlib.errors import ModelError
from embedlib.models.local import load_encoder
from embedlib.training.distil import DistilLoss, distil, make_student
from embedlib.training.options import TrainingJob
from embedlib.training.static import inverse_frequency, token_counts
from tests.unit.training.test_adapt_probe_merge import write_vectors


def test_frequent_tokens_count_little():
    weights = inverse_frequency(np.array([0, 1, 999]), smoothing=1e-3)
    assert weights == pytest.approx([1.0, 0.5, 1e-3 / (1e-3 + 0.999)])


def test_tokens_are_counted_over_all_texts(tiny_model):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    tokenizer.no_padding()
    counts = token_counts(tokenizer, ["a a b", "b"])
    a, b = (tokenizer.token_to_id(t) for t in "ab")
    assert (counts[a], counts[b], counts.sum()) == (2, 2, 4)


def test_a_static_student_starts_as_the_mean_of_its_teachers_token_vectors(tiny_model):
    teacher = load_encoder(tiny_model, device="cpu")
    student = make_student(teacher, "static", texts=["river", "bank"])
    river, bank = teacher.encode(["river", "bank"])
    wanted = (river + bank) / np.linalg.norm(river + bank)  # equally frequent: equally weighted
    assert student.encode(["river bank"])[0] == pytest.approx(wanted, abs=1e-5)
    assert student.dimension == teacher.dimension


def test_a_trained_static_student_is_nearer_and_opens_as_a_plain_model(collection, tiny_model, tmp_path):
    from sentence_transformers import SentenceTransformer

    vectors = write_vectors(tmp_path / "vectors", collection["corpus"], tiny_model)
    (tmp_path / "scratch").mkdir()
    options = Distil(objective="speed", batch_size=16, precision="fp32")
    inputs = {**{k: str(v) for k, v in collection.items()}, "vectors": str(vectors)}
    out = tmp_path / "out"
    job = TrainingJob(
        "distil",
        str(tiny_model),
        str(out),
        str(tmp_path / "scratch"),
        0,
        inputs,
        options.identity() | {"student": options.kind},
    )
    distil(job)
    texts = list(Corpus(collection["corpus"]).texts())
    teacher = load_encoder(tiny_model, device="cpu")
    wanted = teacher.encode(texts)
    first = make_student(teacher, "static", texts=texts).encode(texts)
    trained = load_encoder(out, device="cpu").encode(texts)
    assert (wanted * trained).sum(axis=1).mean() > (wanted * first).sum(axis=1).mean()
    plain = SentenceTransformer(str(out), device="cpu").encode(texts)
    assert plain == pytest.approx(trained, abs=1e-5)


def test_the_ranking_term_is_zero_for_the_teachers_own_vectors_and_only_then():
    class Fixed(torch.nn.Module):
        def __init__(self, vectors):
            super().__init__()
            self.vectors = vectors

        def forward(self, features):
            return {"sentence_embedding": self.vectors}

    generator = torch.Generator().manual_seed(0)
    teacher = torch.nn.functional.normalize(torch.randn(6, 4, generator=generator), dim=1)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator))
    same, turned = DistilLoss(Fixed(teacher)), DistilLoss(Fixed(teacher @ rotation))
    other = DistilLoss(Fixed(teacher.flip(0)))
    assert float(same([{}], teacher)) == pytest.approx(0.0, abs=1e-6)
    distance = (teacher @ rotation - teacher).square().sum(dim=1).mean()
    assert float(turned([{}], teacher)) == pytest.approx(float(distance), abs=1e-4)  # the same ranking
    assert float(other([{}], teacher)) > float((teacher.flip(0) - teacher).square().sum(dim=1).mean()) + 0.1


def test_a_student_larger_than_its_teacher_is_refused(tiny_model, minilm):
    with pytest.raises(ModelError, match="larger than its teacher"):
        make_student(load_encoder(tiny_model, device="cpu"), str(minilm))
