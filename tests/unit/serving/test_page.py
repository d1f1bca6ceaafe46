"""The search page: served whole, and tried in a browser."""

from __future__ import annotations

import json
import re

import chromium
import pytest
from live_server import LiveServer

from embedlib.corpus.marks import MARKS
from embedlib.serving.page import content_policy

SCRIPT = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'


def test_the_page_runs_its_own_script_and_loads_nothing(server):
    response = server.client.get("/")
    policy = response.headers["content-security-policy"]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy == content_policy(response.text)
    assert len(re.findall("'sha256-[A-Za-z0-9+/]+=*'", policy)) == 2
    assert not re.findall(
        r"""(?:src|href)\s*=|url\(|@import|innerHTML|insertAdjacent|document\.write|eval\(|\son\w+=""",
        response.text,
    )


needs_browser = pytest.mark.skipif(chromium.BINARY is None, reason="no Chromium on this machine")


@pytest.fixture
def titled(shop):
    corpus = shop.corpus({"evil": SCRIPT + " banana", "good": "banana cherry"}, {"evil": {"note": SCRIPT}})
    model = shop.model()
    vectors = shop.vectors(corpus, model)
    index = shop.index(corpus, model, vectors)
    shop.publish({"corpus": corpus, "model": model, "vectors": vectors, "index": index})
    return shop


def fill(page, **fields):
    for name, value in fields.items():
        page.run(f"document.forms[0].elements[{json.dumps(name)}].value = {json.dumps(value)}")
    page.run("document.forms[0].requestSubmit()")


@needs_browser
@pytest.mark.slow
def test_search_compare_and_mark_in_a_browser_and_no_text_becomes_markup(titled, tmp_path):
    with LiveServer(titled.root) as server, chromium.Page(server.url + "/", tmp_path / "profile") as page:
        page.until(lambda: page.run("document.querySelectorAll('select[name=beside] option').length") == 2)
        fill(page, query=SCRIPT + " banana", mode="bm25", beside="1")
        page.until(lambda: page.run("document.querySelectorAll('section').length") == 2)
        headings = page.run("[...document.querySelectorAll('h2')].map(h => h.textContent)")
        assert headings == ["live: release 2, bm25", "release 1, bm25"]
        assert SCRIPT in page.run("document.querySelector('section .text').textContent")
        assert page.run("document.querySelectorAll('main img, main script').length") == 0
        assert page.run("window.pwned") is None

        page.run("document.querySelector('section li .right').click()")
        page.until((titled.root / MARKS).exists)
        page.run("document.querySelectorAll('section')[1].querySelector('li .wrong').click()")
        page.until(lambda: len((titled.root / MARKS).read_text().splitlines()) == 2)
        written = [json.loads(line) for line in (titled.root / MARKS).read_text().splitlines()]
        assert next((m["doc_id"], m["relevance"], m["release"]) for m in written) == ("evil", 1, 2)
        assert (written[1]["relevance"], written[1]["release"]) == (0, 1)
        page.until(
            lambda: page.run("document.querySelector('.right').getAttribute('aria-pressed')") == "true"
        )
        # an injected script would have been stopped by the page's policy too
        page.run(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.pwned=2'}))"
        )
        assert page.run("window.pwned") is None
        assert [m for m in page.messages if "Content Security Policy" not in m] == []


@needs_browser
@pytest.mark.slow
def test_the_page_asks_for_the_key(shop, tmp_path):
    key = "0123456789abcdef"
    with (
        LiveServer(shop.root, key=key) as server,
        chromium.Page(server.url + "/", tmp_path / "profile") as page,
    ):
        page.until(lambda: page.run("document.getElementById('key').hidden") is False)
        fill(page, query="banana", key=key)
        page.until(lambda: page.run("document.querySelectorAll('section li').length") > 0)


@needs_browser
@pytest.mark.slow
def test_a_page_of_another_site_cannot_write_or_read(shop, tmp_path):
    """The same address under another port is another origin; simple requests reach a server without asking."""
    with LiveServer(shop.root) as server, LiveServer(shop.root) as other:
        with chromium.Page(other.url + "/healthz", tmp_path / "profile") as page:
            body = json.dumps({"query": "banana", "doc_id": "a", "relevant": True, "release": 1})
            for options in (
                {"method": "POST", "body": body, "mode": "no-cors"},
                {"method": "POST", "body": body, "headers": {"Content-Type": "application/json"}},
                {},
            ):
                script = f"fetch({json.dumps(server.url + '/marks')}, {json.dumps(options)}).then(r => r.type, e => 'stopped')"
                assert page.run(script) in ("opaque", "stopped")
            seen = page.run(
                f"fetch({json.dumps(server.url + '/releases')}).then(r => r.text(), e => 'stopped')"
            )
            assert seen == "stopped"
        assert not (shop.root / MARKS).exists()
        counted = server.client.get("/metrics").text
        assert 'embedlib_requests_total{route="/marks",status="201"}' not in counted
