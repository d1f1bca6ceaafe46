"""Query and document prefixes: a model's own, or those its authors publish for it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import NamedTuple

logger = logging.getLogger(__name__)


class Prompts(NamedTuple):
    """What stands before a query and before a document; empty for nothing."""

    query: str = ""
    document: str = ""


_SEARCH = "Represent this sentence for searching relevant passages: "
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "

#: (pattern of the name without its organisation, prompts), the first match holds. Source: each
#: model's card on the hub.
KNOWN: tuple[tuple[str, Prompts], ...] = (
    (r"multilingual-e5-\w+-instruct|e5-mistral", Prompts(_INSTRUCT)),
    (r"(multilingual-)?e5-(small|base|large)", Prompts("query: ", "passage: ")),
    (r"bge-(small|base|large)-en", Prompts(_SEARCH)),
    (r"bge-(small|base|large)-zh", Prompts("为这个句子生成表示以用于检索相关文章：")),
    (r"nomic-embed-text|modernbert-embed", Prompts("search_query: ", "search_document: ")),
    (r"gte-qwen2|linq-embed-mistral|sfr-embedding|stella_en", Prompts(_INSTRUCT)),
    (r"qwen3-embedding", Prompts(_INSTRUCT.removesuffix(" "))),
    (r"mxbai-embed-large|uae-large|mxbai-embed-xsmall", Prompts(_SEARCH)),
    (r"snowflake-arctic-embed-[ml]-v2", Prompts("query: ")),
    (r"snowflake-arctic-embed", Prompts(_SEARCH)),
    (r"embeddinggemma", Prompts("task: search result | query: ", "title: none | text: ")),
    (
        r"instructor-(base|large|xl)",
        Prompts(
            "Represent the question for retrieving supporting documents: ",
            "Represent the document for retrieval: ",
        ),
    ),
)

_QUERY_NAMES = ("query", "s2p_query", "retrieval.query", "web_search_query")
_DOCUMENT_NAMES = ("document", "passage", "corpus", "retrieval.passage")


def known_prompts(name: str) -> Prompts | None:
    """The published prompts of a known model; None for one that is unknown or needs none.

    >>> known_prompts("intfloat/e5-base-v2")
    Prompts(query='query: ', document='passage: ')
    >>> known_prompts("sentence-transformers/all-MiniLM-L6-v2") is None
    True
    """
    base = name.rstrip("/").rsplit("/", 1)[-1].partition("@")[0].lower()
    return next((prompts for pattern, prompts in KNOWN if re.match(pattern, base)), None)


def choose_prompts(
    name: str, own: Mapping[str, str], default_name: str | None, given: Mapping[str, str]
) -> Prompts:
    """The prompts to use: those given, else the model's own, else the published ones of a known model.

    Args:
        name: The model's name, by which known models are recognised.
        own: The prompts in the model's configuration, by name (sentence-transformers).
        default_name: Which of ``own`` holds where none is asked for.
        given: The user's, under ``query`` and ``document``; either may be missing, and an empty one
            switches a prompt off (with a warning for a model that is known to need it).
    """
    known = known_prompts(name) or Prompts()
    found = Prompts(_pick(own, _QUERY_NAMES, default_name), _pick(own, _DOCUMENT_NAMES, default_name))
    if not any(found) and any(known):
        found = known
        if len(given) < 2:
            logger.warning("%s carries no prompts in its configuration; using the published %s", name, known)
    chosen = Prompts(given.get("query", found.query), given.get("document", found.document))
    for role, usual, used in zip(Prompts._fields, known, chosen, strict=True):
        if usual and not used:
            logger.warning("%s expects the %s prompt %r, but is used without it", name, role, usual)
    return chosen


def _pick(own: Mapping[str, str], names: tuple[str, ...], default_name: str | None) -> str:
    for name in names:
        if own.get(name):
            return own[name]
    return own.get(default_name, "") if default_name else ""
