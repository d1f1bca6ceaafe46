"""Dividing labelled queries that come without splits, so that nothing leaks from one to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from embedlib.corpus.leaks import connected, near_groups, stable_order

How = Literal["components", "cut", "queries"]


class QuerySplit(NamedTuple):
    """Which split each query is in, how it was done, and (query, document group) pairs to leave out."""

    split: dict[str, str]
    how: How
    left_out: set[tuple[str, str]]


def split_queries(
    queries: Mapping[str, str],
    groups_of: Mapping[str, frozenset[str]],
    sizes: Mapping[str, int],
    rng: np.random.Generator,
    threshold: float,
) -> QuerySplit:
    """Take queries for ``sizes`` (test, dev, …) out of ``queries``; the rest is ``train``.

    Near-duplicate queries are never divided. Document groups are not divided either where that can be:

    - ``components``: whatever is connected by a near-duplicate query or a shared document stays together.
    - ``cut``: where one component holds most queries, queries are divided and train loses the judgements
      of documents that test or dev judge relevant (and dev those of test).
    - ``queries``: where that would cost train more than half of its judgements, documents are shared, as in
      the official splits of many collections; new queries are tested, on known documents.

    Args:
        queries: Id → text.
        groups_of: Id → groups of its relevant documents.
        sizes: Queries wanted in each split other than train, in order.
        rng: Chooses.
        threshold: Similarity of character trigrams at which two queries are one.
    """
    ids = sorted(queries)
    near = near_groups([queries[query_id] for query_id in ids], threshold)
    components = _components(ids, near, groups_of)
    if max(map(len, components), default=0) <= max(len(ids) // 2, 1):
        return QuerySplit(_assign(components, sizes, rng), "components", set())
    split = _assign(_members(ids, near), sizes, rng)
    left_out = _crossing(split, groups_of, sizes)
    judged = sum(len(groups_of[q]) for q in ids if split[q] == "train")
    lost = sum(1 for q, _ in left_out if split[q] == "train")
    if 2 * lost > judged:
        return QuerySplit(split, "queries", set())
    return QuerySplit(split, "cut", left_out)


def _components(
    ids: Sequence[str], near: Sequence[int], groups_of: Mapping[str, frozenset[str]]
) -> list[list[str]]:
    first_of: dict[str, int] = {}
    links = [(near[position], position) for position in range(len(ids))]
    for position, query_id in enumerate(ids):
        links += [(first_of.setdefault(group, position), position) for group in groups_of[query_id]]
    return _members(ids, connected(len(ids), links))


def _members(ids: Sequence[str], roots: Sequence[int]) -> list[list[str]]:
    members: dict[int, list[str]] = {}
    for query_id, root in zip(ids, roots, strict=True):
        members.setdefault(root, []).append(query_id)
    return list(members.values())


def _assign(
    components: Sequence[Sequence[str]], sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, str]:
    """Fill each split with whole components, in random order, without passing its size.

    Components are known by their first query, whatever else was labelled since (see ``stable_order``).
    """
    split = {}
    room = dict(sizes)
    for position in stable_order([component[0] for component in components], rng):
        component = components[position]
        name = next((name for name, left in room.items() if len(component) <= left), "train")
        if name in room:
            room[name] -= len(component)
        split.update(dict.fromkeys(component, name))
    return split


def _crossing(
    split: Mapping[str, str], groups_of: Mapping[str, frozenset[str]], sizes: Mapping[str, int]
) -> set[tuple[str, str]]:
    """(query, document group) whose group a split earlier in ``sizes`` judges relevant."""
    order = [*sizes, "train"]
    owned: set[str] = set()
    crossing = set()
    for name in order:
        members = [query_id for query_id, found in split.items() if found == name]
        crossing |= {(query_id, group) for query_id in members for group in groups_of[query_id] & owned}
        owned |= {group for query_id in members for group in groups_of[query_id]}
    return crossing
