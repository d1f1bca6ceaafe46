"""Other people's text does nothing on a terminal, on Prefect's pages, in MLflow's files."""

from __future__ import annotations

import io
import json

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from embedlib.cli import console, show
from embedlib.cli.app import emit_json
from embedlib.errors import DataError
from embedlib.escape import markdown, terminal
from tasks.artifacts import figures, samples

HOSTILE = [
    "![b](http://elsewhere/x.png)",
    "<img src=http://elsewhere/x.png>",
    "a | <img src='http://elsewhere/x.png'> |\n\n![c][d]\n\n[d]: http://elsewhere/y.png",
    "\\![b](http://elsewhere/x.png)",
    "`` ![b](http://elsewhere/x.png)",
    "&lt;img src=x&gt; &#60;img src=x&#62;",
    "<script>fetch('http://elsewhere')</script>",
    "[text](javascript:alert(1))",
]
ESCAPES = "\x1b]0;OWNED\x07\x1b[31m\x9b2J\u202egnp"
EMOJI = "[bold]:x: :smiley:[/bold]"


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["cell", "key", "sample", "column", "line"])
def test_markdown_of_a_page_holds_no_image_link_or_html(text, place):
    page = {
        "cell": figures({"title": text}),
        "key": figures({text: 1}),
        "sample": samples([{"query": text}]),
        "column": samples([{text: "a"}]),
        "line": f"- {markdown(text)}",
    }[place]
    html = rendered(page)
    assert not any(tag in html for tag in ("<img", "<script", "<a ")), html


@pytest.mark.parametrize("text", HOSTILE[:2] + HOSTILE[3:])
def test_it_is_shown_as_it_stands(text):
    html = rendered(markdown(text)).strip()
    unescaped = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert unescaped == f"<p>{text}</p>"


def test_negative_control_the_texts_would_do_something():
    assert all(any(t in rendered(text) for t in ("<img", "<script")) for text in (*HOSTILE[:3], HOSTILE[6]))


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    """What a colour terminal gets."""
    stream = io.StringIO()
    made = Console(file=stream, force_terminal=True, width=200, markup=False, emoji=False, highlight=False)
    for module in (show, console):
        monkeypatch.setattr(module, "console", lambda **_: made)
    return stream


def test_escape_sequences_of_ids_and_texts_do_not_reach_the_terminal(screen):
    show.print_table((f"id{ESCAPES}",), [(f"a{ESCAPES}",)], title=f"t{ESCAPES}")
    console.say(f"b{ESCAPES}")
    out = screen.getvalue()
    for bad in ("\x1b]0", "\x1b[31m", "\x9b", "\u202e", "\x07"):
        assert bad not in out
    assert out.count("\\x1b]0;OWNED\\x07\\x1b[31m\\x9b2J\\u202egnp") == 4


def test_nothing_becomes_markup_or_emoji(screen):
    show.print_table((EMOJI,), [(EMOJI,)], title=EMOJI)
    console.say(EMOJI)
    assert screen.getvalue().count(EMOJI) == 4


def test_errors_and_json_hold_no_control_characters(capsys):
    error = DataError("bad id", found=f"id{ESCAPES}")
    assert terminal(error.render()) == error.render() == str(error)
    emit_json({"id": f"é{ESCAPES}"})
    printed = capsys.readouterr().out
    assert terminal(printed) == printed
    assert json.loads(printed) == {"id": f"é{ESCAPES}"}
