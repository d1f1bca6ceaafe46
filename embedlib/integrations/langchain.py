"""A LangChain retriever (`pip install embedlib[langchain]`)."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from embedlib.index.search import Searcher


class EmbedlibRetriever(BaseRetriever):
    """Searches the live release; a new release answers the next query.

    ``EmbedlibRetriever(searcher=embedlib.Searcher("ws"), k=5).invoke("reset password")``
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    searcher: Searcher
    """Of the workspace."""
    k: int = 4
    """Documents per query."""
    mode: str = "auto"
    """``dense``, ``bm25``, ``hybrid``, or ``auto``: what the release's decision proved best."""
    filters: dict[str, Any] | None = None
    """Metadata fields that must equal a value or be one of several."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        hits = self.searcher.search(query, k=self.k, mode=self.mode, filters=self.filters)
        return [
            Document(
                id=hit.doc_id,
                page_content=hit.text,
                metadata={
                    **hit.metadata,
                    "title": hit.title,
                    "source": hit.source,
                    "score": hit.score,
                    "release": hit.release,
                },
            )
            for hit in hits
        ]
