"""A person's word before a publish, where the configuration asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_client, get_run_logger, pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Failed, Running
from pydantic import Field

from embedlib.artifact import ArtifactRef
from embedlib.config.root import Config
from embedlib.errors import EmbedlibError, UserError
from embedlib.escape import markdown
from embedlib.evaluation.records import Decision
from flows.own_server import ends_with_us


class Approval(RunInput):
    """The form that the Prefect UI shows."""

    approve: bool = Field(default=False, description="Publish the candidate?")
    by: str = Field(min_length=1, pattern=r"\S", description="Who decides")
    note: str = Field(default="", description="Why")


#: The approval of a run that needs no person.
BY_GATE = Approval(approve=True, by="gate")


def require_somebody(config: Config) -> None:
    """Refuse at once to wait for a person whom no form can reach.

    Raises:
        UserError: A person is to approve, and the run's server has no pages and ends with the run.
    """
    if config.decide.approval == "human" and ends_with_us(get_current_settings().api.url):
        raise UserError(
            "a person is to approve the release, and there is no Prefect server where that could be done",
            where="decide.approval",
            expected="a server: embedlib ui, then export PREFECT_API_URL=http://127.0.0.1:4200/api",
            found="a run that starts a temporary server of its own",
            remedy="start one and give the same command again, or set decide.approval=none",
        )


def approval(config: Config, decision: ArtifactRef) -> Approval:
    """Wait for a person if ``decide.approval`` is ``human``; else the gate's word is enough.

    Raises:
        EmbedlibError: Nobody answered within ``decide.approval_timeout_s``.
    """
    if config.decide.approval != "human":
        return BY_GATE
    reasons = "\n".join(f"- {markdown(reason)}" for reason in Decision.read(decision.path).reasons)
    form = Approval.with_initial_data(description=f"The gate says promote:\n\n{reasons}")
    seconds = config.decide.approval_timeout_s
    try:
        with _lease_kept():
            word: Approval = pause_flow_run(wait_for_input=form, timeout=seconds)
    except FlowPauseTimeout:
        raise _unanswered(seconds) from None
    get_run_logger().info("%s: %s (%s)", word.by, "publish" if word.approve else "do not publish", word.note)
    return word


@contextmanager
def _lease_kept() -> Iterator[None]:
    """Hide the lease on the deployment's concurrency slot from the server while the run is paused.

    The server would revoke it on a pause, and the engine ends a run within minutes of losing its lease.
    """
    with get_client(sync_client=True) as client:
        before = client.read_flow_run(flow_run.id).state
        if before is None or before.state_details.deployment_concurrency_lease_id is None:
            yield
            return
        client.set_flow_run_state(flow_run.id, Running(), force=True)
        yield
        client.set_flow_run_state(flow_run.id, before, force=True)


def _unanswered(seconds: int) -> EmbedlibError:
    """The error; the run is failed with it here, since the server lets no other message follow a pause."""
    error = EmbedlibError(
        f"nobody answered within {seconds} s whether to publish the candidate; nothing is published",
        where="decide.approval_timeout_s",
        remedy="run again and answer: every stage is reused",
    )
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, Failed(message=str(error)), force=True)
    return error
