"""A LlamaIndex retriever (`pip install embedlib[llama-index]`)."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from embedlib.index.search import Searcher


class EmbedlibRetriever(BaseRetriever):
    """Searches the live release; a new release answers the next query.

    Args:
        searcher: Of the workspace.
        k: Documents per query.
        mode: ``dense``, ``bm25``, ``hybrid``, or ``auto``: what the release's decision proved best.
        filters: Metadata fields that must equal a value or be one of several.
    """

    def __init__(
        self, searcher: Searcher, k: int = 4, mode: str = "auto", filters: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self._searcher, self._k, self._mode, self._filters = searcher, k, mode, filters

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._searcher.search(
            query_bundle.query_str, k=self._k, mode=self._mode, filters=self._filters
        )
        return [
            NodeWithScore(
                node=TextNode(
                    id_=hit.doc_id,
                    text=hit.text,
                    metadata={
                        **hit.metadata,
                        "title": hit.title,
                        "source": hit.source,
                        "release": hit.release,
                    },
                ),
                score=hit.score,
            )
            for hit in hits
        ]
