"""Documents that say nearly the same: MinHash candidates, checked on their shingles."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedlib.contracts import CORPUS, Corpus, read_rows, write_table
from embedlib.corpus.build import read_aliases, write_aliases, write_chunks
from embedlib.corpus.leaks import connected
from embedlib.json_file import IfGiven, JsonPart
from embedlib.progress import Progress, silent

Shingles = npt.NDArray[np.uint32]
_WORD = re.compile(r"\w+")
WIDTH, PERMUTATIONS = 3, 128


class AlikePair(JsonPart):
    """Two documents and the Jaccard similarity of their shingles."""

    ids: tuple[str, str]
    jaccard: float


class NearDuplicateCounts(JsonPart):
    """Documents that nearly repeat an earlier one (None: not looked for, and ``why``), clusters, examples."""

    documents: int | None
    why: IfGiven[str] = None
    clusters: IfGiven[int] = None
    dropped: IfGiven[int] = None
    threshold: IfGiven[float] = None
    examples: IfGiven[list[AlikePair]] = None


def shingles(text: str) -> Shingles:
    """CRC-32 of each run of three words (of the whole, where there are fewer), sorted and unique."""
    words = _WORD.findall(text.casefold())
    width = min(WIDTH, len(words))
    runs = {" ".join(words[i : i + width]) for i in range(len(words) - width + 1)} if words else set()
    return np.unique(np.fromiter((zlib.crc32(run.encode()) for run in runs), dtype=np.uint32))


def jaccard(a: Shingles, b: Shingles) -> float:
    """|A ∩ B| / |A ∪ B| of two sorted sets."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / max(len(a) + len(b) - common, 1)


def near_duplicate_pairs(
    corpus: Corpus,
    threshold: float,
    progress: Progress = silent,
    linked: Callable[[int, int], bool] = lambda first, second: False,
) -> Iterator[tuple[int, int, float]]:
    """(row, later row, Jaccard similarity) of documents ``threshold`` alike and not ``linked`` yet.

    Candidates come from MinHash LSH (Broder 1997; datasketch), set low to miss few; each is checked on
    the shingles themselves, so that no pair is reported wrongly. Memory grows by about a kilobyte a
    document.
    """
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=0.92 * threshold, num_perm=PERMUTATIONS, weights=(0.2, 0.8))
    seen: list[Shingles] = []
    signatures = MinHash.generator(_sets(corpus, seen), num_perm=PERMUTATIONS, hashfunc=int)
    for row, signature in enumerate(signatures):
        if row % 1000 == 0:
            progress(row, len(corpus), "near-duplicates sought")
        if not len(seen[row]):
            continue
        for other in sorted(lsh.query(signature)):
            if linked(other, row):
                continue
            similarity = jaccard(seen[other], seen[row])
            if similarity >= threshold:
                yield other, row, similarity
        lsh.insert(row, signature, check_duplication=False)


def _sets(corpus: Corpus, seen: list[Shingles]) -> Iterator[list[int]]:
    """The shingles of each document, kept in ``seen`` too."""
    for text in corpus.texts():
        seen.append(shingles(text))
        yield seen[-1].tolist()


def near_duplicates(
    folder: Path,
    *,
    threshold: float,
    action: Literal["report", "drop", "off"],
    max_documents: int,
    progress: Progress = silent,
) -> NearDuplicateCounts:
    """Count near-duplicates in ``folder``'s corpus, or drop all but the first of each cluster.

    ``drop`` rewrites the folder's ``corpus.parquet`` and ``aliases.parquet``; ``report`` looks at no more
    than ``max_documents``.
    """
    from scipy.cluster.hierarchy import DisjointSet

    corpus = Corpus(folder)
    if action == "off" or (action == "report" and len(corpus) > max_documents):
        why = "off" if action == "off" else f"not looked for above {max_documents} documents"
        return NearDuplicateCounts(documents=None, why=why)
    linked = DisjointSet(range(len(corpus)))  # of a thousand alike few pairs need be compared, or kept
    links: list[tuple[int, int]] = []
    examples: list[AlikePair] = []
    for first, second, similarity in near_duplicate_pairs(corpus, threshold, progress, linked.connected):
        linked.merge(first, second)
        links.append((first, second))
        if len(examples) < 10:
            ids = corpus.ids[first], corpus.ids[second]
            examples.append(AlikePair(ids=ids, jaccard=round(similarity, 3)))
    repeats = {row: root for row, root in enumerate(connected(len(corpus), links)) if root != row}
    if action == "drop" and repeats:
        _drop(folder, {corpus.ids[row]: corpus.ids[root] for row, root in repeats.items()})
    return NearDuplicateCounts(
        documents=len(repeats),
        clusters=len(set(repeats.values())),
        dropped=len(repeats) if action == "drop" else 0,
        threshold=threshold,
        examples=examples,
    )


def _drop(folder: Path, kept: Mapping[str, str]) -> None:
    """Rewrite the corpus without the keys of ``kept``; they, and their aliases, become aliases.

    A document of which no chunk is left becomes an alias of the one that has its first chunk's likeness.
    """
    corpus = Corpus(folder)
    document_of = corpus.document_of
    left = {document_of[chunk] for chunk in document_of if chunk not in kept}
    gone = {document_of[chunk]: chunk for chunk in sorted(document_of.keys() & kept.keys(), reverse=True)}
    replaced = dict(kept)
    for document, chunk in gone.items():
        if document not in left:
            replaced[document] = document_of.get(kept[chunk], kept[chunk])
    aliases = {doc_id: replaced.get(target, target) for doc_id, target in read_aliases(folder).items()}
    rewritten = folder / "corpus.rewritten"
    write_table(rewritten, (r for r in read_rows(corpus.path) if r["doc_id"] not in kept), CORPUS)
    rewritten.replace(corpus.path)
    write_chunks(folder, sorted((c, d) for c, d in document_of.items() if c not in kept))
    write_aliases(folder, aliases | replaced)
