"""PDF files, page by page: lines joined to paragraphs, headings told by their size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from embedlib.corpus.markup import MARK, page_mark
from embedlib.corpus.readers.file import File
from embedlib.corpus.records import Item, Record, Rejected, Unreadable

#: A line so much larger than the body's is a heading, if it is no longer than a heading may be.
HEADING_SIZE, HEADING_CHARACTERS, HEADING_LEVELS = 1.15, 120, 3
#: Lines in this share of a page's height at its top and bottom are running titles where they stand on
#: this share of the pages, and on so many at least.
MARGIN, RUNNING_SHARE, RUNNING_PAGES = 0.08, 0.5, 4
_SOFT_HYPHEN = re.compile("(\\S*)[\ufffe\x02](?=\\S)")
#: What programs write as a title where the author gave none: a file's name, or that there is none.
_NO_TITLE = re.compile(
    r"\W*(?:untitled|anonymous|unspecified|unknown|no title)\W*|microsoft \w+ - .*"
    r"|\S+\.(?:docx?|pptx?|xlsx?|pdf|indd|qxd|dvi|tex|odt|rtf)",
    flags=re.IGNORECASE,
)
_BULLET = re.compile(r"^(?:[•‣▪◦·*–—-]|\(?\d{1,3}[.)]|[a-z][.)])\s")


class _Line(NamedTuple):
    text: str
    size: float
    edge: bool


def read_pdf(file: File) -> Iterator[Item]:
    """One document with its pages marked; pages that are pictures alone are named."""
    import pypdfium2 as pdfium
    from pypdfium2 import raw

    try:
        pdf = pdfium.PdfDocument(file.data)
        count = len(pdf)
    except pdfium.PdfiumError as error:
        locked = getattr(error, "err_code", None) == raw.FPDF_ERR_PASSWORD
        why = "encrypted: it opens with a password only" if locked else f"damaged: {error}"
        raise Unreadable(why) from error
    pages: list[list[_Line]] = []
    pictures: list[int] = []
    characters = 0
    for number in range(count):
        lines, picture = _page(pdf, number, raw)
        pages.append(lines)
        if picture:
            pictures.append(number + 1)
        characters += sum(len(line.text) for line in lines)
        if characters > file.bounds.max_characters:
            raise Unreadable(f"too large: more than {file.bounds.max_characters} characters of text")
    if not characters:
        raise Unreadable(
            "scanned: pictures of pages, no text layer" if pictures else "empty: no page holds text"
        )
    if pictures:
        where = ", ".join(map(str, pictures[:20])) + (" …" if len(pictures) > 20 else "")
        yield Rejected(file.name, f"scanned in part: no text on page {where}", ignored=True)
    title = " ".join(pdf.get_metadata_dict().get("Title", "").split())
    yield _document(file, "" if _NO_TITLE.fullmatch(title) else title, pages)


def _page(pdf: Any, number: int, raw: Any) -> tuple[list[_Line], bool]:
    """A page's lines with the size of their letters, and whether it is a picture without text."""
    page = pdf[number]
    textpage = page.get_textpage()
    text, height = textpage.get_text_range(), page.get_height()
    lines, start = [], 0
    for line in text.split("\r\n"):
        if shown := " ".join(_joined(line).split()):
            middle = min(start + len(line) // 2, textpage.count_chars() - 1)
            _, bottom, _, top = textpage.get_charbox(middle)
            edge = (bottom + top) / 2 < MARGIN * height or (bottom + top) / 2 > (1 - MARGIN) * height
            lines.append(_Line(shown, round(raw.FPDFText_GetFontSize(textpage.raw, middle), 1), edge))
        start += len(line) + 2
    images = [raw.FPDF_PAGEOBJ_IMAGE]
    picture = not lines and any(True for _ in page.get_objects(filter=images, max_depth=3))
    textpage.close()
    page.close()
    return lines, picture


def _joined(line: str) -> str:
    """A word that was divided at a line's end made whole; a hyphen stays where the word has others."""
    return _SOFT_HYPHEN.sub(lambda m: m[1] + ("-" if "-" in m[1] else ""), line)


def _document(file: File, title: str, pages: Sequence[list[_Line]]) -> Record:
    running = _running(pages)
    sizes = Counter[float]()
    for line in (line for page in pages for line in page):
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0]
    levels = sorted((s for s in sizes if s >= body * HEADING_SIZE > 0), reverse=True)[:HEADING_LEVELS]
    parts = []
    for number, page in enumerate(pages, start=1):
        kept = [line for line in page if not (line.edge and _shape(line.text) in running)]
        if kept:
            parts += [page_mark(number), *_paragraphs(kept, body, levels)]
    heading = next((part for part in parts if part.startswith(MARK)), "")
    if heading and (not title or heading.lstrip(MARK).strip() == title):
        title = heading.lstrip(MARK).strip()
        parts.remove(heading)
    return Record(file.name, title or file.spoken, "\n\n".join(parts), file.name, "", {"pages": len(pages)})


def _running(pages: Sequence[list[_Line]]) -> set[str]:
    """Shapes of the titles and numbers that stand at the edge of most pages."""
    if len(pages) < RUNNING_PAGES:
        return set()
    seen = Counter[str]()
    for page in pages:
        seen.update({_shape(line.text) for line in page if line.edge})
    return {shape for shape, n in seen.items() if n >= max(RUNNING_PAGES, RUNNING_SHARE * len(pages))}


def _shape(text: str) -> str:
    """A line with its numbers alike.

    >>> _shape("Page 3 of 12")
    'page # of #'
    """
    return re.sub(r"\d+", "#", text.casefold())


def _paragraphs(lines: Sequence[_Line], body: float, levels: Sequence[float]) -> Iterator[str]:
    """Headings marked, and lines joined that were broken for the page's width only."""
    width = max(len(line.text) for line in lines)
    current: list[str] = []
    for line in lines:
        heading = line.size >= body * HEADING_SIZE > 0 and len(line.text) <= HEADING_CHARACTERS
        ended = current and (len(current[-1]) < 0.6 * width or _BULLET.match(line.text))
        if current and (heading or ended):
            yield " ".join(current)
            current = []
        if heading:
            level = levels.index(line.size) + 1 if line.size in levels else HEADING_LEVELS
            yield f"{MARK * level} {line.text}"
        else:
            current.append(line.text)
    if current:
        yield " ".join(current)
