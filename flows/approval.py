"""A person's word before a publish, where the configuration asks for it."""

from __future__ import annotations

from prefect import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from embedlib.config.root import Config
from embedlib.store import ArtifactRef


class Approval(RunInput):
    """The form that the Prefect UI shows."""

    approve: bool = Field(default=False, description="Publish the candidate?")
    by: str = Field(min_length=1, description="Who decides")
    note: str = Field(default="", description="Why")


#: The approval of a run that needs no person.
BY_GATE = Approval(approve=True, by="gate")


def approval(config: Config, decision: ArtifactRef) -> Approval:
    """Wait for a person if ``decide.approval`` is ``human``; else the gate's word is enough."""
    if config.decide.approval != "human":
        return BY_GATE
    reasons = "\n".join(f"- {reason}" for reason in decision.read_json("decision.json")["reasons"])
    form = Approval.with_initial_data(description=f"The gate says promote:\n\n{reasons}")
    return pause_flow_run(wait_for_input=form, timeout=int(config.decide.approval_timeout_s))
