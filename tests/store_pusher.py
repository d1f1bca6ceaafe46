"""Pushes the live release of a toy workspace into a store, and dies on the way.

Run as ``python store_pusher.py ROOT KIND ADDRESS SHIFT METHOD CALL DELAY_MS``: killed with -9 DELAY_MS after
call number CALL of the store's METHOD began; with DELAY_MS below 0 right after that call. METHOD ``none`` lives.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from index_workspace import ShiftedEncoder

from embedlib.index.verify import Checks
from embedlib.stores.connect import connect
from embedlib.stores.push import PushOptions, push_release


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(root: str, kind: str, address: str, shift: str, method: str, call: str, delay_ms: str) -> None:
    store = connect(kind, address, "docs")
    calls = 0
    if method != "none":
        real = getattr(store, method)

        def deadly(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls != int(call):
                return real(*arguments, **options)
            if float(delay_ms) < 0:
                real(*arguments, **options)
                die()
            if float(delay_ms) == 0:
                die()
            threading.Timer(float(delay_ms) / 1000, die).start()
            real(*arguments, **options)
            return threading.Event().wait()

        setattr(store, method, deadly)
    checks = Checks(encoder=ShiftedEncoder(int(shift)))
    push_release(Path(root), store, "docs", PushOptions(20, "hnsw", checks))
    store.close()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
