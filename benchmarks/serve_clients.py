"""Clients of a search server, in a process that imports nothing heavy.

python -m benchmarks.serve_clients < request.json > load.json
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

import numpy as np


class Load(NamedTuple):
    """What clients saw: seconds of each answer, answers by status, and mixed answers."""

    seconds: list[float]
    statuses: dict[int, int]
    mixed: list[str]
    retry_after: int
    elapsed: float

    def line(self, name: str) -> str:
        """Requests a second and percentiles."""
        p50, p99 = np.percentile(np.array(self.seconds or [0.0]) * 1000, [50, 99])
        others = {status: n for status, n in self.statuses.items() if status != 200}
        rate = len(self.seconds) / self.elapsed
        return f"{name:<20} {rate:7.0f} answers/s  p50 {p50:7.1f} ms  p99 {p99:7.1f} ms  others {others}"


def joined(loads: list[Load]) -> Load:
    """Several rounds as one."""
    statuses: Counter[int] = Counter()
    for load in loads:
        statuses.update(load.statuses)
    return Load(
        [s for load in loads for s in load.seconds],
        dict(statuses),
        [m for load in loads for m in load.mixed],
        sum(load.retry_after for load in loads),
        sum(load.elapsed for load in loads),
    )


def apart(port: int, queries: list[str], mode: dict[str, Any], clients: int, seconds: float) -> Load:
    """Load from a process of its own, so that clients and server do not share an interpreter."""
    request = json.dumps([port, queries, mode, clients, seconds])
    command = [sys.executable, "-m", "benchmarks.serve_clients"]
    done = subprocess.run(command, input=request, stdout=subprocess.PIPE, text=True, check=True)
    took, statuses, *rest = json.loads(done.stdout)
    return Load(took, {int(status): n for status, n in statuses.items()}, *rest)


async def ask_all(port: int, queries: list[str], mode: dict[str, Any], clients: int, seconds: float) -> Load:
    """Clients that ask one request after the other."""
    load = Load([], Counter(), [], 0, 0.0)
    waits = Counter[str]()
    end = time.perf_counter() + seconds

    async def client(seed: int) -> None:
        rng = np.random.default_rng(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < end:
            query = queries[int(rng.integers(len(queries)))]
            status, answer, headers = await exchange(reader, writer, {"query": query, "k": 10, **mode})
            load.statuses[status] = load.statuses.get(status, 0) + 1
            if status == 200:
                load.seconds.append(time.perf_counter() - started)
                check(load.mixed, [hit["doc_id"] for hit in answer["results"][0]["hits"]])
            else:
                waits["retry"] += "retry-after:" in headers
                await asyncio.sleep(0.05)
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client(seed) for seed in range(clients)))
    return load._replace(retry_after=waits["retry"], elapsed=time.perf_counter() - begun)


def check(mixed: list[str], ids: list[str]) -> None:
    """All documents of an answer are of one release."""
    if len(ids) != 10 or len({doc_id[:2] for doc_id in ids}) != 1:
        mixed.append(str(ids))


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: dict[str, Any]
) -> tuple[int, Any, str]:
    """One request and its answer on an open connection."""
    data = json.dumps(body).encode()
    head = "POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(headers.partition("content-length:")[2].partition("\r\n")[0])
    return int(headers.split()[1]), json.loads(await reader.readexactly(length)), headers


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask_all(*json.loads(sys.stdin.read())))))
