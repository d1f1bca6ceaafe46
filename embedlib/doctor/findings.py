"""What a check found: how bad, on what evidence, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(BaseModel):
    """One row of the diagnosis.

    ``subject`` names the check, ``evidence`` what was measured or read, ``command`` what to do next
    (a command line or an option; empty when all is well).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    subject: str
    severity: Severity
    title: str
    evidence: dict[str, Any] = {}
    command: str = ""


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when all is well, else 1; 2 is every command's code for the user's mistake."""
    return int(any(f.severity != Severity.OK for f in findings))


def fine(subject: str, title: str, **evidence: Any) -> Finding:
    """A finding that all is well."""
    return Finding(subject=subject, severity=Severity.OK, title=title, evidence=evidence)


def warning(subject: str, title: str, command: str, **evidence: Any) -> Finding:
    """A finding that something should be looked at."""
    return Finding(
        subject=subject, severity=Severity.WARNING, title=title, evidence=evidence, command=command
    )


def failure(subject: str, title: str, command: str, **evidence: Any) -> Finding:
    """A finding that something is broken."""
    return Finding(subject=subject, severity=Severity.ERROR, title=title, evidence=evidence, command=command)
