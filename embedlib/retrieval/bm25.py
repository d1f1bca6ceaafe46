"""BM25 with two engines behind one interface and one variant, so that both give the same scores.

Variant: Lucene's (Kamphuis et al., *Which BM25 do you mean?*, ECIR 2020, "accurate"),

    score(q, d) = sum over t in q of  idf(t) * tf / (tf + k1 * (1 - b + b * |d| / avgdl))
    idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5)),   k1 = 1.2, b = 0.75

whose idf is positive for every term (rank-bm25's own idf is Robertson's, negative for terms in
more than half of the documents and then replaced by a quarter of the mean). A term repeated in
the query counts as often as it stands there. A document that shares no term is no hit.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedlib.contracts import Floats
from embedlib.errors import DataError, counted
from embedlib.retrieval.hits import Hits, empty_hits, top_rows
from embedlib.retrieval.tokens import index_term, runs, words

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

K1, B = 1.2, 0.75
#: The number of what is not indexed.
STOP_WORD = -1
Engine = Literal["rank-bm25", "bm25s"]


class BM25Index:
    """A searchable BM25 index over documents 0..n-1."""

    def __init__(self, engine: ReferenceEngine | SparseEngine) -> None:
        self.engine = engine

    def __len__(self) -> int:
        return self.engine.documents

    def scores(self, query: str) -> Floats:
        """BM25 of every document for one query, float32 [n]; 0 where no term is shared."""
        return self.engine.scores(words(query))

    def scores_of(self, queries: Sequence[str]) -> Iterator[Floats]:
        """``scores`` of each query."""
        return map(self.scores, queries)

    def idf(self, term: str) -> float:
        """Inverse document frequency of an index term; of one that no document has, the highest."""
        return float(lucene_idf(self.engine.document_frequency(term), len(self)))

    def search(self, queries: Sequence[str], k: int) -> Hits:
        """The k best documents of each query by (-score, row); no shared term, no hit."""
        hits = empty_hits(len(queries), k)
        for i, query in enumerate(queries):
            scores = self.scores(query)
            found = np.flatnonzero(scores)
            rows, values = top_rows(scores[found], k, found)
            hits.rows[i, : len(rows)], hits.scores[i, : len(rows)] = rows, values
        return hits

    def save(self, folder: Path) -> None:
        """Write the index as JSON and plain NumPy files (no pickle)."""
        folder.mkdir(parents=True, exist_ok=True)
        self.engine.save(folder)
        settings = {"engine": self.engine.name, "variant": "lucene", "k1": K1, "b": B, "documents": len(self)}
        (folder / "bm25.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> BM25Index:
        """Read what ``save`` wrote; bm25s arrays stay on disk and are mapped.

        Raises:
            DataError: The folder holds no BM25 index.
        """
        try:
            name = json.loads((folder / "bm25.json").read_text(encoding="utf-8"))["engine"]
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                "no BM25 index here", where=str(folder), found=str(error), remedy="build it with build_bm25"
            ) from error
        return cls(
            ReferenceEngine.load(folder) if name == ReferenceEngine.name else SparseEngine.load(folder)
        )


def build_bm25(texts: Iterable[str], *, engine: Engine = "bm25s") -> BM25Index:
    """Index documents' texts, read once.

    ``rank-bm25`` is the reference that ``bm25s`` is checked against.

    Raises:
        DataError: There is no document, or no document has a word.
    """
    documents = _Vocabulary()
    for text in texts:
        documents.add(text)
    if not documents.terms:
        raise DataError(
            "nothing to index for BM25",
            expected="at least one document with a word that is no stop word",
            found=counted(len(documents.tokens), "document"),
            remedy="check the corpus's text field",
        )
    if engine == "rank-bm25":
        return BM25Index(ReferenceEngine(list(documents.restore())))
    return BM25Index(SparseEngine.build(documents.tokens, documents.terms))


class _Vocabulary:
    """Documents as arrays of term numbers: a tenth of the memory of lists of strings."""

    def __init__(self) -> None:
        self.terms: dict[str, int] = {}
        self.tokens: list[Any] = []
        self._number_of = _Numbers(self.terms)

    def add(self, text: str) -> None:
        numbers = np.array([*map(self._number_of.__getitem__, runs(text))], dtype=np.int32)
        self.tokens.append(numbers[numbers != STOP_WORD])

    def restore(self) -> Iterator[list[str]]:
        names = list(self.terms)
        return ([names[i] for i in document] for document in self.tokens)


class _Numbers(dict[str, int]):
    """Runs to the numbers of their terms: each distinct run is looked at once."""

    def __init__(self, terms: dict[str, int]) -> None:
        super().__init__()
        self._terms = terms

    def __missing__(self, run: str) -> int:
        name = index_term(run)
        self[run] = number = self._terms.setdefault(name, len(self._terms)) if name else STOP_WORD
        return number


class ReferenceEngine:
    """rank-bm25's own counting and scoring, with Lucene's idf in place of Robertson's."""

    name = "rank-bm25"

    def __init__(self, documents: list[list[str]]) -> None:
        from rank_bm25 import BM25Okapi

        self.documents = len(documents)
        self.tokens = documents
        self._okapi = BM25Okapi(documents, k1=K1, b=B)
        frequency: dict[str, int] = {}
        for counts in self._okapi.doc_freqs:
            for term in counts:
                frequency[term] = frequency.get(term, 0) + 1
        self._okapi.idf = {term: float(lucene_idf(df, self.documents)) for term, df in frequency.items()}
        self._frequency = frequency

    def document_frequency(self, term: str) -> int:
        """Documents that hold a term."""
        return self._frequency.get(term, 0)

    def scores(self, terms: Sequence[str]) -> Floats:
        """BM25 of every document, float32 [n]; rank-bm25 multiplies by k1 + 1, which is taken out."""
        return np.asarray(self._okapi.get_scores(terms) / (K1 + 1), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write each document's terms as JSON lines."""
        lines = (json.dumps(terms, ensure_ascii=False) for terms in self.tokens)
        (folder / "terms.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> ReferenceEngine:
        """Read what ``save`` wrote."""
        lines = (folder / "terms.jsonl").read_text(encoding="utf-8").split("\n")
        return cls([json.loads(line) for line in lines if line])


class SparseEngine:
    """bm25s: every (term, document) weight computed once, kept by term (CSC)."""

    name = "bm25s"

    def __init__(self, index: Any) -> None:
        self.index = index
        self.vocabulary: dict[str, int] = index.vocab_dict
        self.documents = int(index.scores["num_docs"])

    @classmethod
    def build(cls, tokens: list[Any], terms: dict[str, int]) -> SparseEngine:
        """Index documents given as arrays of term numbers."""
        index = _bm25s().BM25(k1=K1, b=B, method="lucene")
        index.nonoccurrence_array = None  # Lucene's variant has none
        index.build_index_from_ids = _weigh  # made to be overridden; its own takes 16 times as long
        index.index((tokens, terms), create_empty_token=False, show_progress=False)
        return cls(index)

    def term_numbers(self, terms: Sequence[str]) -> list[int]:
        """Numbers of the terms that stand in some document."""
        return [self.vocabulary[t] for t in terms if t in self.vocabulary]

    def scores(self, terms: Sequence[str]) -> Floats:
        """BM25 of every document, float32 [n]; a term's documents are distinct, so the addition is exact."""
        arrays = self.index.scores
        data, indices, indptr = arrays["data"], arrays["indices"], arrays["indptr"]
        out = np.zeros(self.documents, dtype=np.float32)
        for term in self.term_numbers(terms):
            part = slice(indptr[term], indptr[term + 1])
            out[indices[part]] += data[part]
        return out

    def document_frequency(self, term: str) -> int:
        """Documents that hold a term."""
        number, starts = self.vocabulary.get(term), self.index.scores["indptr"]
        return 0 if number is None else int(starts[number + 1] - starts[number])

    def weights(self) -> csr_matrix:
        """The weights by document, float32 sparse [n documents, v terms]."""
        from scipy.sparse import csc_matrix

        arrays = self.index.scores
        shape = (self.documents, len(arrays["indptr"]) - 1)
        return csc_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape).tocsr()

    def save(self, folder: Path) -> None:
        """bm25s's own files."""
        self.index.save(folder, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> SparseEngine:
        """Read what ``save`` wrote, arrays mapped from disk."""
        bm25s = _bm25s()
        return cls(bm25s.BM25.load(folder, mmap=True, show_progress=False, verbosity=0))


def _weigh(unique_token_ids: list[int], corpus_token_ids: list[Any], **_: Any) -> dict[str, Any]:
    """Every (term, document) weight by term, as bm25s lays it out, from arrays of term numbers."""
    from scipy.sparse import csc_matrix

    n = len(corpus_token_ids)
    lengths = np.array([len(document) for document in corpus_token_ids])
    cells = np.repeat(np.arange(n, dtype=np.int32), lengths), np.concatenate(corpus_token_ids)
    counts = csc_matrix(
        (np.ones(len(cells[0]), dtype=np.float32), cells), shape=(n, len(unique_token_ids))
    )  # adds up what stands in one cell
    df = np.diff(counts.indptr)
    part = K1 * (1 - B + B * lengths / lengths.mean())
    tf = counts.data
    data = (np.repeat(lucene_idf(df, n), df) * tf / (tf + part[counts.indices])).astype(np.float32)
    return {"data": data, "indices": counts.indices, "indptr": counts.indptr, "num_docs": n}


def lucene_idf(df: Any, n: int) -> Any:
    """Lucene's idf, ln(1 + (N - df + 0.5) / (df + 0.5)), of a number or an array; positive for df <= N."""
    return np.log(1 + (n - df + 0.5) / (df + 0.5))


def _bm25s() -> Any:
    """The library, which turns its own debug log on when it is imported."""
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return bm25s
