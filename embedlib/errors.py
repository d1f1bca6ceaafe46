"""Typed errors: each says what was expected, what was found, where, and the remedy.

``UserError`` and its children are the caller's to mend (the command line exits with 2);
every other ``EmbedlibError`` is a failure of the run or of the machine (exit code 1).
"""

from __future__ import annotations

from collections.abc import Sequence

from embedlib.escape import terminal
from embedlib.redact import redact


class EmbedlibError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: One sentence: what is wrong, with the offending id or value.
        where: File, line, row, option path or stage.
        expected: What would have been right.
        found: What was there instead.
        remedy: What to do next.
    """

    exit_code = 1
    #: Whether a person has read it already.
    told: bool = False

    def __init__(
        self, what: str, *, where: str = "", expected: str = "", found: str = "", remedy: str = ""
    ) -> None:
        self.what, self.where, self.expected, self.found, self.remedy = (what, where, expected, found, remedy)
        super().__init__(self.render())

    def render(self) -> str:
        """The message as shown to a person, one aspect a line, without secrets and control characters."""
        lines = [self.what]
        for label in ("where", "expected", "found", "remedy"):
            value = getattr(self, label)
            if value:
                lines.append(f"  {label}: {value}")
        return terminal(redact("\n".join(lines)))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes with every aspect kept."""
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(cls: type[EmbedlibError], state: dict[str, object]) -> EmbedlibError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, error.render())
    return error


class UserError(EmbedlibError):
    """The caller's mistake: exit code 2."""

    exit_code = 2


class ConfigError(UserError):
    """One or more options are wrong; ``problems`` lists every one of them."""

    def __init__(self, problems: Sequence[str], *, where: str = "", remedy: str = "") -> None:
        self.problems = list(problems)
        head = f"{counted(len(self.problems), 'problem')} in the configuration"
        super().__init__(
            head + "".join(f"\n  - {p}" for p in self.problems),
            where=where,
            remedy=remedy or "`embedlib config --all` prints every option with an example",
        )


class DataError(UserError):
    """Documents, queries, judgements or examples that break their contract."""


class ModelError(UserError):
    """A model that does not exist, does not load, or does not fit its use."""


class StoreError(EmbedlibError):
    """The artifact store could not do what was asked."""


class CorruptArtifact(StoreError):
    """An artifact whose bytes are not those that were written."""


class DiskFull(StoreError):
    """No space left: nothing half-written stays behind."""


class NotWritable(StoreError):
    """The operating system refuses to read or write a file of the workspace."""


class TrainingError(EmbedlibError):
    """Training ended without a model."""


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite."""


class OutOfMemory(TrainingError):
    """The process or the device ran out of memory."""


class VerificationError(EmbedlibError):
    """An index that fails its verification."""


class ReleaseError(EmbedlibError):
    """A release that may not be made, or cannot be read."""


class MismatchError(ReleaseError):
    """A model and an index that do not belong together."""


class ProviderError(EmbedlibError):
    """A remote provider failed for good, after retries."""


class BudgetExhausted(EmbedlibError):
    """A token or money budget is spent; what was bought is kept."""


class ServiceError(EmbedlibError):
    """A service (Prefect, MLflow, a database) cannot be reached or refused."""


def counted(n: int, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "problem"), counted(2, "problem")
    ('1 problem', '2 problems')
    """
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def first_line(error: BaseException) -> str:
    """The first line of what an error says; the name of its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def type_and_line(error: BaseException) -> str:
    """The name of an error's type and the first line of what it says."""
    said = str(error).strip()
    return f"{type(error).__name__}: {first_line(error)}" if said else type(error).__name__
