"""Sections of remote providers: bounds, budgets, and the way to the client's and the writer's arguments."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from embedlib.config.pairs import Llm
from embedlib.http.usage import Price
from embedlib.pairs.llm import Writer


def test_a_section_becomes_the_arguments_of_client_and_writer() -> None:
    section = Llm(
        base_url="http://127.0.0.1:8000/v1",
        model="m",
        key_env="MY_KEY",
        retries=2,
        money_budget=5.0,
        price_input_per_million=1.0,
        price_output_per_million=4.0,
        temperature=0.5,
        domain="Cooks.",
    )
    settings = section.settings
    assert (settings.base_url, settings.key_env, settings.retries) == (
        "http://127.0.0.1:8000/v1",
        "MY_KEY",
        2,
    )
    assert (settings.money_budget, settings.price) == (5.0, Price(1.0, 4.0))
    assert Writer(**section.writer_arguments()) == Writer("m", 0.5, 512, 8000, domain="Cooks.")


def test_how_it_is_asked_is_no_part_of_the_identity() -> None:
    plain, hasty = (
        Llm(model="m"),
        Llm(model="m", retries=1, timeout_s=5, max_concurrency=2, max_wait_s=9),
    )
    assert plain.identity() == hasty.identity()
    assert plain.identity() != Llm(model="m", temperature=0.1).identity()
    assert plain.identity() != Llm(model="m", token_budget=10).identity()


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"model": ""},
        {"model": "m", "base_url": "host/v1"},
        {"model": "m", "base_url": "https://user:pw@host/v1"},
        {"model": "m", "base_url": "https://host/v1?key=1"},
        {"model": "m", "key_env": "sk-123"},
        {"model": "m", "key_env": "lower_case"},
        {"model": "m", "retries": -1},
        {"model": "m", "timeout_s": 0},
        {"model": "m", "token_budget": 0},
        {"model": "m", "money_budget": 1.0},
        {"model": "m", "max_concurency": 2},
    ],
)
def test_mistakes_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Llm(**bad)
