"""Measure two models, and BM25, on your own questions.

python examples/evaluate_two_models.py all-MiniLM-L6-v2 path/to/another-model
"""

from __future__ import annotations

import sys

import embedlib

DOCUMENTS = [
    "To reset your password, open Settings, choose Security, and press Reset.",
    "Invoices are sent on the first day of each month to the billing address.",
    "The battery lasts about ten hours; dim the screen to make it last longer.",
    "Orders can be returned within thirty days if they are unopened.",
    "Our office is closed on public holidays and between Christmas and New Year.",
    "Press and hold the power button for five seconds to restart the device.",
]
QUESTIONS = {
    "I forgot my login": [0],
    "when do I get the bill": [1],
    "my laptop runs empty too fast": [2],
    "send a parcel back": [3],
    "it hangs and does not react": [5],
    "are you there on December 27th": [4],
}


def main(models: list[str]) -> None:
    """Print each system's figures, and each difference with its interval."""
    found = embedlib.evaluate(models, DOCUMENTS, list(QUESTIONS), list(QUESTIONS.values()), bm25=True)
    for system, measures in found.means.items():
        figures = "  ".join(f"{name} {value.mean:.3f}" for name, value in measures.items())
        print(f"{system:<24} {figures}")
    for c in found.comparisons:
        d = c.difference
        interval = f"{d.mean:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
        print(f"{c.system} - {c.baseline}: {c.measure} {interval}, p {c.p:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["all-MiniLM-L6-v2"])
