"""The ledger through crashes and damage; the budget; the rate-limit headers."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from embedlib.errors import BudgetExhausted, CorruptArtifact, DiskFull
from embedlib.http.ledger import FILE, Ledger
from embedlib.http.limits import RateGate, duration_s, exhausted_s, retry_after_s
from embedlib.http.usage import Budget, Price, TokenUsage


def filled(folder: Path, count: int = 3) -> Path:
    ledger = Ledger(folder)
    for n in range(count):
        ledger.put([(f"key-{n}", {"text": f"héllo {n}"})], TokenUsage(1, 10, n))
    ledger.close()
    return folder / FILE


def test_round_trip_with_usage(tmp_path: Path) -> None:
    filled(tmp_path)
    ledger = Ledger(tmp_path)
    assert len(ledger) == 3
    assert ledger.get("key-1") == {"text": "héllo 1"}
    assert ledger.usage == TokenUsage(3, 30, 0 + 1 + 2)
    ledger.close()


@pytest.mark.parametrize("lost", [1, 10, 40])
def test_a_line_cut_short_loses_that_answer_only_and_the_next_is_readable(tmp_path: Path, lost: int) -> None:
    path = filled(tmp_path)
    os.truncate(path, path.stat().st_size - lost)
    ledger = Ledger(tmp_path)
    assert ("key-2" in ledger) == (lost == 1)  # without its newline alone, the line is whole
    ledger.put([("key-3", 3)], TokenUsage(1, 1))
    ledger.close()
    again = Ledger(tmp_path)
    assert again.get("key-3") == 3
    assert again.get("key-0") == {"text": "héllo 0"}
    assert again.damaged == (0 if lost == 1 else 1)
    again.close()


def test_garbage_in_the_middle_is_passed_over_and_counted(tmp_path: Path) -> None:
    path = filled(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\x00\xff not JSON\n"
    path.write_bytes(b"".join(lines))
    ledger = Ledger(tmp_path)
    assert "key-1" not in ledger
    assert ledger.get("key-2") == {"text": "héllo 2"}
    assert ledger.damaged == 1
    ledger.close()


def test_another_schema_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"schema_version": 99}) + "\n")
    with pytest.raises(CorruptArtifact, match="99"):
        Ledger(tmp_path)


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)

    def write(ledger: Ledger, name: str) -> None:
        for n in range(50):
            ledger.put([(f"{name}-{n}", "x" * n)], TokenUsage(1))

    threads = [threading.Thread(target=write, args=a) for a in ((first, "a"), (second, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(first.get(f"a-{n}") == "x" * n for n in range(50))
    for ledger in (first, second):
        ledger.close()
    whole = Ledger(tmp_path)
    assert len(whole) == 100
    assert whole.usage == TokenUsage(100)
    assert whole.damaged == 0
    whole.close()


def test_what_was_put_survives_kill_9(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from embedlib.http.ledger import Ledger\nfrom embedlib.http.usage import TokenUsage\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for n in range(10**9):\n"
        "    ledger.put([(f'key-{n}', n)], TokenUsage(1))\n"
        "    sys.stdout.write(f'{n}\\n')\n    sys.stdout.flush()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(20):
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    ledger = Ledger(tmp_path)
    assert [ledger.get(f"key-{n}") for n in range(last + 1)] == list(range(last + 1))
    ledger.close()


def test_a_full_disk_is_a_typed_error_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes five more bytes, then none, and later has room again."""
    path = filled(tmp_path)
    before = path.read_bytes()
    ledger = Ledger(tmp_path)
    real, room = os.write, [5]

    def write(descriptor: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(DiskFull, match="No space left"):
        ledger.put([("key-9", "x" * 100)], TokenUsage(1))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert "key-9" not in ledger
    ledger.put([("key-9", "y")], TokenUsage(1))
    assert ledger.get("key-9") == "y"
    ledger.close()
    again = Ledger(tmp_path)
    assert (again.get("key-9"), again.damaged) == ("y", 0)
    again.close()


def test_a_reservation_waits_for_room_and_fails_only_when_none_can_come() -> None:
    budget = Budget(max_tokens=10)
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with budget.reserve(TokenUsage(1, 8)):
            inside.set()
            done.wait(5)
            budget.add(TokenUsage(1, 4))  # cheaper than thought

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(5)
    threading.Timer(0.1, done.set).start()
    with budget.reserve(TokenUsage(1, 6)):
        assert budget.spent == TokenUsage(1, 4)
    thread.join()
    with pytest.raises(BudgetExhausted), budget.reserve(TokenUsage(1, 7)):
        pass


def test_what_earlier_runs_spent_counts() -> None:
    price = Price(1.0, 2.0)
    budget = Budget(max_cost=1.0, price=price, spent=TokenUsage(5, 400_000, 290_000))  # 0.98 dollars
    with budget.reserve(TokenUsage(1, 20_000)):
        pass
    with pytest.raises(BudgetExhausted, match=r"\$1.0000"), budget.reserve(TokenUsage(1, 20_001)):
        pass


@pytest.mark.parametrize(
    ("text", "seconds"), [("1", 1), ("1.5", 1.5), ("90ms", 0.09), ("6m0s", 360), ("1h2m3s", 3723), ("", None)]
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["-3", "NaN", "1x", "s", "1 s", "Tomorrow"])
def test_what_is_no_duration(text: str) -> None:
    assert duration_s(text) is None


def test_retry_after_as_a_date() -> None:
    now = datetime(2024, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s({"retry-after": "Mon, 01 Jan 2024 12:00:30 GMT"}, now) == 30
    assert retry_after_s({"retry-after": "Mon, 01 Jan 2024 11:00:00 GMT"}, now) == 0
    assert (
        retry_after_s({"retry-after": "Mon, 01 Jan 2024 12:00:30 -0000"}, now) == 30
    )  # a date without a zone
    assert retry_after_s({"retry-after": "soon"}, now) is None


def test_the_longest_of_the_exhausted_limits_counts() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "9s",
    }
    assert exhausted_s(headers) == 9
    assert exhausted_s({**headers, "x-ratelimit-remaining-tokens": "5"}) == 2
    assert exhausted_s({"x-ratelimit-remaining-requests": "7"}) is None


def test_a_shorter_pause_does_not_open_the_gate_early() -> None:
    now = [0.0]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    gate = RateGate(wait, clock=lambda: now[0])
    gate.close_for(5)
    gate.close_for(1)
    gate.enter()
    gate.enter()
    assert waits == [5]
