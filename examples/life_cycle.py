"""The life cycle from Python: documents in; a proven model and a live index out.

python examples/life_cycle.py docs/ ws --set train.epochs=1
"""

from __future__ import annotations

import argparse

import embedlib


def main(arguments: list[str] | None = None) -> None:
    """Run it on documents and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", help="a folder, a JSONL, CSV or Parquet file, or a BEIR folder")
    parser.add_argument("workspace")
    parser.add_argument("--set", action="append", default=[], help="an option, such as train.epochs=1")
    given = parser.parse_args(arguments)
    values = {
        "workspace": given.workspace,
        "ingest": {"source": {"type": "auto", "path": given.documents}},
    }
    outcome = embedlib.run(embedlib.load_config(values=values, overrides=given.set))
    print(outcome.verdict)
    for reason in outcome.reasons:
        print(f"  {reason}")
    print(f"release {outcome.release} is live; report: {outcome.report}")


if __name__ == "__main__":
    main()
