"""The process in which files are parsed: a fault in a parser, or a file made to exhaust it, ends it alone.

``python -m embedlib.corpus.readers.worker`` reads a request a line from standard input, and answers
each with its documents, one a line, and a line that ends the answer.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path

from embedlib.corpus.readers.file import Bounds
from embedlib.corpus.readers.read import read_path
from embedlib.corpus.records import Item, Record

END = "end"


def encode(item: Item) -> str:
    """An answer's line."""
    kind = "record" if isinstance(item, Record) else "rejected"
    return json.dumps([kind, list(item)])


def limit_memory(megabytes: int) -> None:
    """Let the process have so much address space, where the system can bound it."""
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    except (ValueError, OSError):  # macOS has the name without the limit
        return


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    limited = False
    for line in sys.stdin:
        request = json.loads(line)
        bounds = Bounds(**request["bounds"])
        if not limited:
            limit_memory(bounds.memory_mb)
            limited = True
        for item in read_path(Path(request["path"]), request["name"], request["encoding"], bounds):
            answers.write(encode(item) + "\n")
        answers.write(json.dumps([END, []]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
