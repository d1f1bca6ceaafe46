"""Bringing the live release into the vector store that the configuration names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedlib.config.index import Publish, Target
from embedlib.errors import ConfigError
from embedlib.progress import Progress, silent
from embedlib.stages.publish import checks_of
from embedlib.stores.base import VectorStore
from embedlib.stores.connect import connect
from embedlib.stores.push import Pushed, PushOptions, push_release


def require_target(config: Publish) -> Target:
    """The configured target.

    Raises:
        ConfigError: None is configured.
    """
    if config.target is None:
        raise ConfigError(
            ["publish.target: no vector store is configured"],
            remedy="name one, such as --set publish.target.type=lancedb --set publish.target.address=lance/",
        )
    return config.target


@contextmanager
def open_target(target: Target, wait_s: float | None = None) -> Iterator[VectorStore]:
    """The target, open; with a longest wait for each answer where somebody waits for it.

    Raises:
        ConfigError: Its address is in no environment variable.
        ServiceError: The store cannot be reached.
    """
    key = None if target.key_env is None else os.environ.get(target.key_env)
    store = connect(target.type, address_of(target), target.collection, key, wait_s)
    try:
        yield store
    finally:
        store.close()


def address_of(target: Target) -> str:
    """Where the store is: the configured address, or the environment's.

    Raises:
        ConfigError: Neither is set.
    """
    address = target.address or os.environ.get(target.address_env, "")
    if not address:
        raise ConfigError(
            [f"no address is configured, and the environment variable {target.address_env} is not set"],
            remedy="set publish.target.address, or that variable where the address holds a password",
        )
    return address


def push_index(root: Path, config: Publish, *, progress: Progress = silent) -> Pushed:
    """Bring the live release into the configured store; see ``embedlib.stores.push``.

    Raises:
        ConfigError: No store is configured.
    """
    target = require_target(config)
    options = PushOptions(target.batch, target.index, checks_of(config), progress)
    with open_target(target) as store:
        return push_release(root, store, target.collection, options)
