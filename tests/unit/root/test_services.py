"""The services that ``embedlib ui`` starts."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest

from embedlib.cli import services
from embedlib.errors import ServiceError


def test_a_service_that_refuses_is_asked_a_few_times_a_second(monkeypatch, tmp_path) -> None:
    asked = []
    monkeypatch.setattr(services.httpx, "get", lambda *_, **__: asked.append(1) or httpx.Response(503))
    running = SimpleNamespace(poll=lambda: None)
    with pytest.raises(ServiceError, match="did not come up"):
        services._wait_for("http://127.0.0.1:1/health", running, tmp_path / "log", timeout_s=1.0)
    assert len(asked) <= 5
