"""A slot of one of Prefect's global concurrency limits, such as one per GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from embedlib.errors import ServiceError

#: Seconds after which the server takes a slot back from a holder that no longer renews it.
LEASE_S = 60.0


@contextmanager
def slot(limit: str | None) -> Iterator[None]:
    """Wait for a slot and hold it; a holder that died loses it after ``LEASE_S``.

    Args:
        limit: Name of the limit; without one nothing is held.

    Raises:
        ServiceError: The server gave none: there is no such limit, or it did not answer.
    """
    with ExitStack() as stack:
        if limit is not None:
            # a server that is away for a while must not end a training that goes on without it
            held = concurrency(
                limit, lease_duration=LEASE_S, strict=True, raise_on_lease_renewal_failure=False
            )
            try:
                stack.enter_context(held)
            except ConcurrencySlotAcquisitionError as error:
                raise ServiceError(
                    f"no slot of the concurrency limit {limit!r}",
                    where="run.limit",
                    found=str(error),
                    remedy=f"prefect gcl create {limit} --limit 1, once on this server",
                ) from error
        yield
