"""Which prompts a model is used with."""

from __future__ import annotations

import logging

import pytest

from embedlib.models.prompts import Prompts, choose_prompts, known_prompts

E5 = Prompts("query: ", "passage: ")
SEARCH = "Represent this sentence for searching relevant passages: "


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("intfloat/e5-base-v2", "query: ", "passage: "),
        ("intfloat/multilingual-e5-large", "query: ", "passage: "),
        ("BAAI/bge-small-en-v1.5", SEARCH, ""),
        ("nomic-ai/nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        (
            "mixedbread-ai/mxbai-embed-large-v1",
            SEARCH,
            "",
        ),
        ("Snowflake/snowflake-arctic-embed-m-v2.0", "query: ", ""),
        (
            "Snowflake/snowflake-arctic-embed-m-v1.5",
            SEARCH,
            "",
        ),
    ],
)
def test_known_models(name, query, document):
    assert known_prompts(name) == (query, document)


@pytest.mark.parametrize("name", ["intfloat/e5-mistral-7b-instruct", "Alibaba-NLP/gte-Qwen2-7B-instruct"])
def test_instruction_models_prefix_only_queries(name):
    prompts = known_prompts(name)
    assert prompts.query.startswith("Instruct: ")
    assert prompts.query.endswith("\nQuery: ")
    assert prompts.document == ""


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "thenlper/gte-base", "BAAI/bge-m3", "/models/ours"])
def test_models_without_prompts(name):
    assert known_prompts(name) is None


def test_a_models_own_prompts_win_over_the_published_ones():
    own = {"query": "ask: ", "passage": "say: "}
    assert choose_prompts("intfloat/e5-base-v2", own, None, {}) == ("ask: ", "say: ")


def test_published_prompts_fill_in_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert choose_prompts("intfloat/e5-base-v2", {"query": "", "document": ""}, None, {}) == E5
    assert "carries no prompts" in caplog.text


def test_a_known_models_missing_prompt_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        chosen = choose_prompts("intfloat/e5-base-v2", {}, None, {"query": "", "document": "passage: "})
    assert chosen == ("", "passage: ")
    assert "expects the query prompt 'query: '" in caplog.text


def test_one_given_prompt_leaves_the_other_alone():
    own = {"query": "ask: ", "document": "say: "}
    assert choose_prompts("ours", own, None, {"document": "text: "}) == ("ask: ", "text: ")


def test_the_default_prompt_holds_where_no_role_is_named():
    assert choose_prompts("ours", {"any": "> "}, "any", {}) == ("> ", "> ")


def test_no_warning_without_cause(caplog):
    with caplog.at_level(logging.WARNING):
        assert choose_prompts("all-MiniLM-L6-v2", {}, None, {}) == ("", "")
    assert not caplog.records
