"""Search the live release, and put what was found into a prompt for a language model.

python examples/search_and_context.py ws "how do I reset my password"
"""

from __future__ import annotations

import argparse

import embedlib


def prompt(question: str, passages: list[str], limit: int = 6_000) -> str:
    """A question with numbered passages to answer it from, ``limit`` characters of them at most."""
    context = "\n\n".join(f"[{n}] {text}" for n, text in enumerate(passages, start=1))[:limit]
    return f"Answer from these passages, and name the numbers of those you used.\n\n{context}\n\n{question}"


def main(arguments: list[str] | None = None) -> None:
    """Print hits, then the prompt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace")
    parser.add_argument("question")
    parser.add_argument("-k", type=int, default=5)
    given = parser.parse_args(arguments)
    hits = embedlib.Searcher(given.workspace).search(given.question, k=given.k, one_per_group=True)
    for hit in hits:
        print(f"{hit.score:.4f}  {hit.doc_id}  {hit.title}  (release {hit.release}, {hit.mode})")
    print()
    print(prompt(given.question, [f"{hit.title}\n{hit.text}" for hit in hits]))


if __name__ == "__main__":
    main()
