"""MTEB tasks as judged sets: the ``mteb`` package gives the data, embedlib the measures and intervals.

The package is optional (``pip install embedlib[mteb]``); data it has cached are used offline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from embedlib.contracts import document_text
from embedlib.errors import DataError
from embedlib.evaluation.dev import DevSet
from embedlib.evaluation.similarity import SentencePairs


def require_mteb(name: str) -> Any:
    """The package, for the task ``name``.

    Raises:
        DataError: It is not installed.
    """
    try:
        import mteb
    except ImportError as error:
        raise DataError(
            f"the MTEB task {name!r} needs the package mteb",
            found=str(error),
            remedy="pip install 'embedlib[mteb]', or give a BEIR folder or a TSV file instead",
        ) from error
    return mteb


def load_task(name: str) -> DevSet | SentencePairs:
    """A retrieval or similarity task's evaluation split.

    Raises:
        DataError: The package is missing, the task is unknown or cannot be loaded, has several
            languages, or is neither retrieval nor similarity.
    """
    mteb = require_mteb(name)
    try:
        task = mteb.get_task(name)
        task.load_data()
    except Exception as error:  # data fail to load in as many ways as there are libraries
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"the MTEB task {name!r} cannot be loaded",
            found=first,
            remedy="check the name; its data must be in the Hugging Face cache, or the hub in reach "
            "(HF_HUB_OFFLINE not set)",
        ) from error
    return task_content(name, task)


def task_content(name: str, task: Any) -> DevSet | SentencePairs:
    """A loaded task's first evaluation split.

    Raises:
        DataError: The task has several languages, or is neither retrieval nor similarity.
    """
    kind, split = task.metadata.type, task.metadata.eval_splits[0]
    if task.metadata.is_multilingual:
        raise DataError(f"the MTEB task {name!r} has several languages", expected="a task of one language")
    if kind == "Retrieval":
        if hasattr(task, "convert_v1_dataset_format_to_v2"):
            task.convert_v1_dataset_format_to_v2()
        return _retrieval(name, task.dataset["default"][split])
    if kind == "STS":
        rows, (first, second) = task.dataset[split], task.column_names
        scores = np.asarray(rows["score"], dtype=np.float64)
        return SentencePairs(list(rows[first]), list(rows[second]), scores)
    raise DataError(f"the MTEB task {name!r} is of type {kind}", expected="Retrieval or STS")


def _retrieval(name: str, data: Mapping[str, Any]) -> DevSet:
    documents = _texts(data["corpus"])
    queries = _texts(data["queries"])
    qrels = {
        q: {d: int(r) for d, r in found.items()} for q, found in data["relevant_docs"].items() if q in queries
    }
    found = DevSet.whole(name, documents, queries, qrels)
    if found is None:
        raise DataError(f"the MTEB task {name!r} has no query with a relevant document")
    return found


def _texts(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    texts = {str(r["id"]): document_text(r.get("title") or "", r.get("text") or "") for r in rows}
    return {i: text for i, text in texts.items() if text}
