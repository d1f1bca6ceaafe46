"""Published figures reproduced on real collections, in fp32, through embedlib's own evaluation.

Sources: all-MiniLM-L6-v2 on the MTEB leaderboard, NFCorpus nDCG@10 31.59 and STSBenchmark cosine
Spearman 82.03; BM25 (Lucene's variant) on NFCorpus 32.1 to 32.5.
"""

from __future__ import annotations

import numpy as np
import pytest

from embedlib.evaluation.beir import read_beir_set
from embedlib.evaluation.measures import hits_to_run, score_run
from embedlib.evaluation.similarity import correlations, cosines, read_pairs
from embedlib.evaluation.statistics import Resampling
from embedlib.models.local import load_encoder
from embedlib.retrieval.bm25 import build_bm25


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_spearman_on_stsbenchmark(shared_data, minilm):
    pairs = read_pairs(shared_data / "stsb" / "test.tsv")
    predicted = cosines(load_encoder(minilm, dtype="fp32"), pairs)
    found = correlations(predicted, pairs.scores, Resampling(np.random.default_rng(0), 200))["Spearman"]
    assert found.n == 1379
    assert 100 * found.mean == pytest.approx(82.03, abs=0.1)
    assert found.low < found.mean < found.high
    shuffled = np.random.default_rng(0).permutation(predicted)  # negative control
    assert (
        abs(correlations(shuffled, pairs.scores, Resampling(np.random.default_rng(0), 200))["Spearman"].mean)
        < 0.1
    )


def test_bm25_on_nfcorpus(shared_data):
    collection = read_beir_set(shared_data / "nfcorpus")
    hits = build_bm25(collection.doc_texts).search(collection.query_texts, 100)
    run = hits_to_run(collection.query_ids, hits, collection.doc_ids)
    values = score_run(run, collection.qrels, ["nDCG@10"])["nDCG@10"]
    assert len(values) == 323
    assert 100 * np.mean(list(values.values())) == pytest.approx(32.1, abs=0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ndcg_on_nfcorpus(shared_data, minilm):
    collection = read_beir_set(shared_data / "nfcorpus")
    mean, values = collection.score(load_encoder(minilm, dtype="fp32"), "nDCG@10")
    assert len(values) == 323
    assert 100 * mean == pytest.approx(31.59, abs=0.1)
