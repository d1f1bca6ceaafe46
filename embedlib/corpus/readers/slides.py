"""PowerPoint presentations: a slide a page, its title a heading, its notes after its text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from embedlib.corpus.markup import MARK, page_mark
from embedlib.corpus.readers.file import File
from embedlib.corpus.readers.packages import require_package
from embedlib.corpus.records import Item, Record, Unreadable


def read_slides(file: File) -> Iterator[Item]:
    """One document with its slides marked as pages."""
    from pptx import Presentation

    require_package(file, "ppt/presentation.xml")
    presentation = Presentation(io.BytesIO(file.data))
    title = " ".join((presentation.core_properties.title or "").split())
    parts: list[str] = []
    count = 0
    for count, slide in enumerate(presentation.slides, start=1):
        heading = slide.shapes.title
        named = _line(heading.text_frame.text) if heading is not None and heading.has_text_frame else ""
        texts = [t for shape in slide.shapes if not _same(shape, heading) for t in _texts(shape)]
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            texts += _frame(slide.notes_slide.notes_text_frame)
        if named or texts:
            parts += [page_mark(count), *([f"{MARK * 2} {named}"] if named else []), *texts]
        title = title if title not in ("", "PowerPoint Presentation") else named
    if not parts:
        raise Unreadable("empty: no slide holds text")
    yield Record(file.name, title or file.spoken, "\n\n".join(parts), file.name, "", {"pages": count})


def _same(shape: Any, heading: Any) -> bool:
    return heading is not None and shape.shape_id == heading.shape_id


def _texts(shape: Any) -> Iterator[str]:
    """The text of a shape: its paragraphs, its table's rows, its group's shapes."""
    if hasattr(shape, "shapes"):
        for inner in shape.shapes:
            yield from _texts(inner)
    elif getattr(shape, "has_table", False):
        for row in shape.table.rows:
            if cells := [text for cell in row.cells if (text := _line(cell.text_frame.text))]:
                yield " | ".join(cells)
    elif shape.has_text_frame:
        yield from _frame(shape.text_frame)


def _frame(frame: Any) -> list[str]:
    return [text for paragraph in frame.paragraphs if (text := _line(paragraph.text))]


def _line(text: str) -> str:
    return " ".join(text.split())
