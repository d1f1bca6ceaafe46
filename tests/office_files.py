"""Files as companies have them, written by the libraries that write such files."""

from __future__ import annotations

import io
import mailbox
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path


def pdf(
    pages: Sequence[Sequence[str]],
    *,
    title: str = "",
    password: str = "",
    footer: str = "",
    picture: bool = False,
) -> bytes:
    """A PDF: lines that start with ``# `` are headings; ``picture`` draws one on every page instead of text."""
    from reportlab.lib.pagesizes import A5
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.pdfgen import canvas
    from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate

    class Picture(Flowable):
        width = height = 100

        def draw(self) -> None:
            from PIL import Image
            from reportlab.lib.utils import ImageReader

            self.canv.drawImage(ImageReader(Image.new("RGB", (40, 40), "grey")), 0, 0, 100, 100)

    styles = getSampleStyleSheet()
    story: list[Flowable] = []
    for number, lines in enumerate(pages):
        story += [PageBreak()] if number else []
        story += [Picture()] if picture and not lines else []
        for line in lines:
            style = styles["Heading2"] if line.startswith("# ") else styles["Normal"]
            story.append(Paragraph(line.removeprefix("# "), style))

    def foot(page: canvas.Canvas, document: SimpleDocTemplate) -> None:
        if footer:
            page.drawString(40, 20, f"{footer} {document.page}")

    out = io.BytesIO()
    from reportlab.lib.pdfencrypt import StandardEncryption

    encrypt = StandardEncryption(password) if password else None
    SimpleDocTemplate(out, pagesize=A5, title=title or None, encrypt=encrypt, invariant=1).build(
        story, onFirstPage=foot, onLaterPages=foot
    )
    return out.getvalue()


def word(parts: Sequence[tuple[int, str]], table: Sequence[Sequence[str]] = ()) -> bytes:
    """A Word document of (heading level or 0, text), and a table."""
    from docx import Document

    document = Document()
    for level, text in parts:
        document.add_heading(text, level) if level else document.add_paragraph(text)
    if table:
        grid = document.add_table(len(table), len(table[0]))
        for row, cells in enumerate(table):
            for column, text in enumerate(cells):
                grid.cell(row, column).text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def slides(pages: Sequence[tuple[str, str, str]]) -> bytes:
    """A presentation of (title, text, notes)."""
    from pptx import Presentation

    presentation = Presentation()
    for title, text, notes in pages:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text_frame.text = text
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    out = io.BytesIO()
    presentation.save(out)
    return out.getvalue()


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """A workbook of named sheets."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def message(
    subject: str, text: str, *, html: bool = False, attachments: Mapping[str, bytes] | None = None
) -> bytes:
    """An e-mail."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ada <ada@example.org>", "bob@example.org", subject
    mail["Date"] = "Mon, 06 May 2024 10:00:00 +0000"
    mail.set_content(text, subtype="html" if html else "plain")
    for name, data in (attachments or {}).items():
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return bytes(mail)


def mbox(path: Path, messages: Sequence[bytes]) -> None:
    """A mailbox file."""
    box = mailbox.mbox(path)
    for data in messages:
        box.add(data)
    box.close()


def archive(files: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as stream:
        for name, data in files.items():
            stream.writestr(name, data)
    return out.getvalue()


#: Question → the file that answers it, in ``mixed_folder``.
ANSWERS = {
    "which bearing grease does the harbour crane need": "manuals/crane.pdf",
    "torque of the flange bolts on the compressor": "manuals/compressor.pdf",
    "how many days of parental leave may employees take": "hr/leave.docx",
    "per diem allowance for travel to Lisbon": "hr/travel.docx",
    "revenue target of the northern region": "sales/kickoff.pptx",
    "what did the speaker say about the penguin mascot": "sales/brand.pptx",
    "price of the titanium hinge": "sales/prices.xlsx",
    "which warehouse stores the copper wire": "stock.xlsx",
    "why did the payment gateway fail in april": "wiki/incident.html",
    "how to rotate the signing certificate": "wiki/certificates.md",
    "opening hours of the canteen": "canteen.txt",
    "who approved the new logo": "mail/logo.eml",
    "when will the roof be repaired": "mail/facility.mbox",
    "minutes about the bicycle parking": "minutes.zip",
    "terms for returning a defective drill": "mail/claim.eml",
}

SKIPPED = {
    "bad/broken.pdf": "damaged",
    "bad/broken.docx": "damaged",
    "bad/renamed.xlsx": "damaged",
    "bad/empty.txt": "empty",
    "bad/latin.txt": "not utf-8",
    "bad/locked.pdf": "encrypted",
    "bad/locked.docx": "encrypted",
    "bad/nothing.pptx": "empty",
    "bad/scan.pdf": "scanned",
    "bad/bomb.docx": "too large",
    "bad/old.doc": "no reader",
    "bad/photo.jpg": "no reader",
    "bad/table.csv": "a table",
    "minutes.zip/../escape.txt": "a path that leaves the archive",
    "minutes.zip/inner.bin": "no reader",
}

_MENU = "".join(f'<li><a href="/{i}">Section {i}</a></li>' for i in range(30))
INCIDENT = f"""<html><head><title>Incident report – Wiki</title></head><body>
<div class="menu"><ul>{_MENU}</ul></div><div id="cookie-banner"><p>We use cookies to improve.</p></div>
<main><h1>Incident report</h1>
<p>In April the payment gateway failed because its database ran out of connections after a deployment
that doubled the number of workers. Customers saw error pages for forty minutes before the pool was
enlarged and the workers were restarted one after the other.</p>
<h2>Follow-up</h2><p>The pool is now sized from the number of workers, and an alarm tells the team on call
when nine tenths of it are in use. A rehearsal of the procedure is planned for every quarter of the year.</p>
<pre>SELECT count(*) FROM pg_stat_activity;</pre>
<p>The report was discussed in the weekly meeting, and all of its measures were accepted by the team.</p></main>
<div class="footer"><p>© 2024 Example Ltd. All rights reserved.</p><ul>{_MENU}</ul></div></body></html>"""


def mixed_folder(root: Path) -> Path:
    """30 files: each format with answers, and one of each kind that cannot be read."""
    long = "This page was left by an earlier edition and says nothing about the matter at hand. " * 4
    good: dict[str, bytes] = {
        "manuals/crane.pdf": pdf(
            [
                ["# Crane", long],
                ["# Lubrication", "The harbour crane needs lithium bearing grease every spring."],
            ]
        ),
        "manuals/compressor.pdf": pdf(
            [["# Compressor", "Tighten the flange bolts with a torque of 45 newton metres."]]
        ),
        "hr/leave.docx": word([(1, "Leave"), (0, "Employees may take sixty days of parental leave.")]),
        "hr/travel.docx": word(
            [(0, "Travel allowances")],
            [["City", "Per diem allowance"], ["Lisbon", "48 euros"], ["Oslo", "70 euros"]],
        ),
        "sales/kickoff.pptx": slides(
            [("Kick-off", "Welcome", ""), ("Targets", "Revenue target of the northern region: 3 million", "")]
        ),
        "sales/brand.pptx": slides(
            [("Brand", "Our colours are blue and white", "The speaker said the penguin mascot stays.")]
        ),
        "sales/prices.xlsx": workbook(
            {"Prices": [["Item", "Price"], ["Titanium hinge", 12.5], ["Brass knob", 3]]}
        ),
        "stock.xlsx": workbook(
            {"Stock": [["Material", "Warehouse"], ["Copper wire", "Hall B"], ["Tin", "Hall C"]]}
        ),
        "wiki/incident.html": INCIDENT.encode(),
        "wiki/certificates.md": b"# Certificates\n\n## Rotation\n\nTo rotate the signing certificate, run the job.\n",
        "canteen.txt": b"The canteen's opening hours are from eleven to two.",
        "mail/logo.eml": message("New logo", "The board approved the new logo on Friday."),
        "mail/claim.eml": message(
            "Your claim",
            "Please see the attachment.",
            attachments={"terms.docx": word([(0, "A defective drill may be returned within two years.")])},
        ),
        "minutes.zip": archive(
            {
                "2024/may.txt": b"Minutes: the bicycle parking gets a shelter.",
                "../escape.txt": b"x",
                "inner.bin": b"x",
            }
        ),
        "wiki/style.rst": b"Style\n=====\n\nWrite short sentences.",
        "notes.markdown": b"# Notes\n\nNothing of importance was said.",
    }
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED) as stream:
        stream.writestr("word/document.xml", b" " * 60_000_000)
    locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le")
    bad: dict[str, bytes] = {
        "bad/broken.pdf": b"%PDF-1.7\nthis is not what it says",
        "bad/broken.docx": word([(0, "cut short")])[:2000],
        "bad/renamed.xlsx": archive({"hello.txt": b"no workbook"}),
        "bad/empty.txt": b"",
        "bad/latin.txt": "caf\xe9".encode("latin-1"),
        "bad/locked.pdf": pdf([["secret"]], password="open sesame"),
        "bad/locked.docx": locked,
        "bad/nothing.pptx": slides([("", "", "")]),
        "bad/scan.pdf": pdf([[], []], picture=True),
        "bad/bomb.docx": huge.getvalue(),
        "bad/old.doc": b"\xd0\xcf\x11\xe0",
        "bad/photo.jpg": b"\xff\xd8\xff",
        "bad/table.csv": b"a,b\n1,2\n",
    }
    for name, data in {**good, **bad}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    mbox(
        root / "mail" / "facility.mbox",
        [
            message("Heating", "The heating is on again."),
            message("Roof", "The roof will be repaired in June."),
        ],
    )
    return root
