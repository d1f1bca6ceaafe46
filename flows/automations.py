"""Automations beside the deployments: a dead run is called dead, and a webhook is told what happened.

They are found again by name, so that installing them twice changes nothing.
"""

from __future__ import annotations

import os
from datetime import timedelta
from urllib.parse import urlsplit

from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import EventTrigger, ResourceSpecification
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import Posture

from embedlib.errors import UserError

#: Names the address of the webhook: an address often is a secret, so it is no parameter.
ADDRESS_ENV = "EMBEDLIB_NOTIFY_URL"
BLOCK = "embedlib-webhook"
HEARTBEAT = "prefect.flow-run.heartbeat"
ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "TimedOut", "Cancelled", "Crashed")}

#: Runs of the deployments in ``prefect.yaml`` carry this tag.
OF_A_RUN = {
    "match": ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
    "match_related": ResourceSpecification({"prefect.resource.id": "prefect.tag.embedlib"}),
}
OF_A_WORKSPACE = {"match": ResourceSpecification({"prefect.resource.id": "embedlib.workspace.*"})}

#: What is told, as Prefect fills it in: the trigger's name, its events, whose they are, subject, body.
MESSAGES = (
    (
        "decision",
        {"embedlib.release.published", "embedlib.release.kept"},
        OF_A_WORKSPACE,
        "{{ event.payload.verdict }}: release {{ event.payload.release }} is live in {{ event.resource.id }}",
        "{{ event.payload.reasons | join('\n') }}",
    ),
    (
        "failure",
        {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        OF_A_RUN,
        "{{ flow.name }} run {{ flow_run.name }} ended as {{ flow_run.state.name }}",
        "{{ flow_run.state.message }}\n{{ flow_run | ui_url }}",
    ),
    (
        "degraded",
        {"embedlib.retrieval.degraded"},
        OF_A_WORKSPACE,
        "retrieval degraded: release {{ event.payload.release }} of {{ event.resource.id }}",
        "{{ event.payload.evidence | tojson }}",
    ),
    (
        "store",
        {"embedlib.store.behind"},
        OF_A_WORKSPACE,
        "the vector store is behind: release {{ event.payload.release }} is live in {{ event.resource.id }}",
        "{{ event.payload.error }}\n{{ event.payload.remedy }}",
    ),
)


def install(silence_s: float) -> list[str]:
    """Put the automations on the configured server, or bring them up to date.

    Args:
        silence_s: A run without a heartbeat for so many seconds is marked Crashed, which frees its
            slot; longer than any planned outage of the server.

    Returns:
        Names of the automations that stand there now.

    Raises:
        UserError: The webhook's address is none.
    """
    wanted = [dead_runs(silence_s)]
    if address := os.environ.get(ADDRESS_ENV):
        require_address(address)
        wanted += notifications(address)
    for automation in wanted:
        put(automation)
    return [automation.name for automation in wanted]


def dead_runs(silence_s: float) -> Automation:
    """Whoever was killed together with its worker cannot say so: its heartbeats end."""
    trigger = EventTrigger(
        **OF_A_RUN,
        after={HEARTBEAT},
        expect={HEARTBEAT, *ENDS},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=silence_s),
    )
    message = f"No sign of life for {silence_s:g} s: the process or its machine is gone."
    crashed: ActionTypes = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    return Automation(name="embedlib: dead runs", description=message, trigger=trigger, actions=[crashed])


def require_address(address: str) -> None:
    """Refuse what no message can be sent to; the address itself is not shown, it may be a secret.

    Raises:
        UserError: It is no address of a web server.
    """
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise UserError(
            "the webhook's address is none",
            where=ADDRESS_ENV,
            expected="https://… of a server that takes JSON",
            remedy=f"export {ADDRESS_ENV} anew, or unset it for automations without a webhook",
        )


def notifications(address: str) -> list[Automation]:
    """One automation a kind of message, all through one webhook.

    Args:
        address: URL that takes ``{"text": …}`` by POST, as Slack, Mattermost and Rocket.Chat do; Prefect
            keeps it encrypted.
    """
    webhook = CustomWebhookNotificationBlock(
        name="embedlib",
        url="{{address}}",
        json_data={"text": "{{subject}}\n{{body}}"},
        secrets={"address": address},
    )
    block = webhook.save(BLOCK, overwrite=True)
    return [
        Automation(
            name=f"embedlib: notify of {kind}",
            trigger=EventTrigger(**whose, expect=events, posture=Posture.Reactive, threshold=1),
            actions=[SendNotification(block_document_id=block, subject=subject, body=body)],
        )
        for kind, events, whose, subject, body in MESSAGES
    ]


def put(automation: Automation) -> None:
    """Create it, or update the one of its name; a second one of that name is removed."""
    with get_client(sync_client=True) as client:
        known = client.read_automations_by_name(automation.name)
        for surplus in known[1:]:
            client.delete_automation(surplus.id)
    if known:
        automation.id = known[0].id
        automation.update()
    else:
        automation.create()
