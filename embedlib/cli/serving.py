"""From options to a server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from embedlib.index.search import Searcher
from embedlib.serving.access import HostNames, read_key
from embedlib.serving.app import create_app
from embedlib.serving.feedback import QueryLog
from embedlib.serving.limits import RequestLimits
from embedlib.serving.server import listen, serve
from embedlib.serving.service import Service, load_reranker

if TYPE_CHECKING:
    from embedlib.config.root import Config
    from embedlib.config.serving import Serve

#: Hits in one answer, over all its queries, unless one query may have more.
MOST_HITS = 5_000


def serve_live(config: Config, *, store: bool = False) -> None:
    """Serve the live release of a workspace, or what its vector store holds, until SIGTERM or SIGINT.

    Raises:
        UserError: The address needs a key.
        ReleaseError: Nothing is published.
        ServiceError: The port is taken, or the store cannot be reached.
    """
    with searcher_of(config, store) as searcher:
        options = config.serve
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        key = read_key(options.host, options.key_env)
        opened = listen(options.host, options.port)
        log = QueryLog(searcher.root, share=options.log_share, days=options.log_days)
        reranker = load_reranker(options.rerank) if options.rerank else None
        service = Service(searcher, limits_of(options), reranker, log)
        app = create_app(service, key=key, names=HostNames([options.host, *options.allowed_hosts]))
        address = f"[{options.host}]" if ":" in options.host else options.host
        url = f"http://{address}:{opened.getsockname()[1]}"
        serve(app, opened, lambda: typer.echo(f"release {service.searcher.release.number} at {url}"))


def limits_of(options: Serve) -> RequestLimits:
    """The options as the server takes them."""
    return RequestLimits(
        body_bytes=int(options.max_body_mb * (1 << 20)),
        head_s=options.timeout_s,
        body_s=options.timeout_s,
        answer_s=options.timeout_s,
        queries=options.max_queries,
        query_chars=options.max_query_chars,
        texts=options.max_texts,
        k=options.max_k,
        hits=max(options.max_k, MOST_HITS),
        waiting=options.waiting,
        threads=options.threads,
    )


@contextmanager
def searcher_of(config: Config, store: bool) -> Iterator[Searcher]:
    """What answers."""
    if not store:
        yield Searcher(config.workspace)
        return
    from embedlib.stages.push import open_target, require_target
    from embedlib.stores.searcher import StoreSearcher

    # a search, a new connection and the search again end before the client is told that it takes too long
    with open_target(require_target(config.publish), config.serve.timeout_s / 3) as opened:
        yield StoreSearcher(config.workspace, opened)
