"""Options of ingest and split: where documents and labels come from, and how they are cleaned and divided."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import model_validator

from embedlib.config.base import ENV_NAME, OPERATIONAL, Field, Section
from embedlib.corpus.records import FieldNames

# Paths do not count in fingerprints: the content read from them does (``Stage.external``).
_Path = Annotated[Path, Field(json_schema_extra=OPERATIONAL)]
_OptionalPath = Annotated[Path | None, Field(json_schema_extra=OPERATIONAL)]


class Fields(Section):
    """Which column or JSON key holds what; empty means: found by its usual name."""

    doc_id: str = FieldNames.doc_id
    """Identifier (usual names: _id, id, doc_id, docid, document_id); without one, ids are content hashes."""
    title: str = FieldNames.title
    """Title (usual names: title, name, subject)."""
    text: str = FieldNames.text
    """Text (usual names: text, body, content, contents, document, passage, description)."""
    group_id: str = FieldNames.group_id
    """What belongs together and must not be split apart; default: the document itself."""
    metadata: tuple[str, ...] = FieldNames.metadata
    """Columns to keep as metadata."""


class _Table(Section):
    fields: Fields = Fields()
    """Which column or key holds what."""


class _File(_Table):
    path: _Path
    """The file, or with ``auto`` a folder; ``.gz`` is read as it is."""
    encoding: str = "utf-8"
    """Text encoding. A byte-order mark wins over it."""


class AutoSource(_File):
    """Whatever lies at a path: a BEIR folder, a JSONL, CSV or Parquet file, or a folder of texts."""

    type: Literal["auto"] = "auto"


class JsonlSource(_File):
    """One JSON object a line."""

    type: Literal["jsonl"] = "jsonl"


class CsvSource(_File):
    """Comma-, tab- or semicolon-separated values with a header."""

    type: Literal["csv"] = "csv"
    delimiter: str = Field("", pattern=r'^[^\r\n"]?$')
    """One character; empty means: seen from the header (comma, tab, semicolon or bar)."""


class ParquetSource(_Table):
    """A Parquet file."""

    type: Literal["parquet"] = "parquet"
    path: _Path
    """The file."""


#: What a folder is read for unless told otherwise.
SUFFIXES = (
    *(".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm"),
    *(".pdf", ".docx", ".pptx", ".xlsx", ".xlsm", ".eml", ".mbox", ".zip"),
)


class FolderSource(Section):
    """A folder of text, Markdown, HTML, PDF, Office, mail and zip files, or one such file; the relative
    path is the document's id.
    """

    type: Literal["folder"] = "folder"
    path: _Path
    """The folder, or one file."""
    suffixes: tuple[str, ...] = SUFFIXES
    """Files to read; others are left alone, and counted and listed with the reason."""
    encoding: str = "utf-8"
    """Encoding of text and Markdown files; the other formats say their own."""


class BeirSource(Section):
    """A folder with ``corpus.jsonl`` (or ``.gz``) as BEIR lays it out."""

    type: Literal["beir"] = "beir"
    path: _Path
    """The folder."""


class DocstringsSource(Section):
    """Docstrings read from Python source: summary line as title, the rest as text."""

    type: Literal["docstrings"] = "docstrings"
    packages: tuple[str, ...] = ()
    """Installed packages or folders to read; empty means: the standard library."""


class HuggingFaceSource(_Table):
    """A Hugging Face data set, by name or as a folder that ``save_to_disk`` wrote."""

    type: Literal["huggingface"] = "huggingface"
    name: str = ""
    """Name on the hub; give this or ``path``."""
    path: _OptionalPath = None
    """Folder written by ``save_to_disk``."""
    config_name: str = ""
    """Configuration of the data set."""
    split: str = "train"
    """Split to read."""
    revision: str = "main"
    """Commit, tag or branch on the hub."""

    @model_validator(mode="after")
    def _one_place(self) -> HuggingFaceSource:
        if bool(self.name) == (self.path is not None):
            raise ValueError("give either `name` or `path`")
        return self


class SqlSource(_Table):
    """The rows of a query in any database that SQLAlchemy speaks to."""

    type: Literal["sql"] = "sql"
    url_env: str = Field(default="EMBEDLIB_SQL_URL", pattern=ENV_NAME)
    """Environment variable that holds the database's URL; the URL itself is written nowhere."""
    query: str = Field(min_length=1)
    """SELECT statement that gives one row per document."""
    version_query: str = ""
    """Cheap SELECT whose answer changes when the documents do (a count and the newest change); without it
    every row is read to see whether anything changed."""


Source = Annotated[
    AutoSource
    | JsonlSource
    | CsvSource
    | ParquetSource
    | FolderSource
    | BeirSource
    | DocstringsSource
    | HuggingFaceSource
    | SqlSource,
    Field(discriminator="type"),
]


class NearDuplicates(Section):
    """Documents that say nearly the same (MinHash over three-word shingles, then checked exactly)."""

    action: Literal["report", "drop", "off"] = "report"
    """Count them, drop all but the first of each cluster, or do not look."""
    threshold: float = Field(0.9, gt=0, le=1)
    """Smallest Jaccard similarity of the shingles that counts."""
    max_documents: int = Field(20_000, ge=0)
    """``report`` does not look at larger corpora (and says so); ``drop`` always does."""


class Chunking(Section):
    """Long documents cut at headings and sentences, below what the model reads."""

    mode: Literal["auto", "on", "off"] = "auto"
    """``auto`` cuts folders of files and keeps records (JSONL, tables, BEIR, docstrings) whole."""
    max_tokens: int = Field(200, ge=16, le=8192)
    """Longest chunk, title included, in the tokenizer's tokens."""
    overlap_tokens: int = Field(0, ge=0, le=4096)
    """Sentences repeated from the end of the chunk before, up to so many tokens."""

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Chunking:
        if self.overlap_tokens > self.max_tokens // 2:
            raise ValueError(f"overlap_tokens must be at most half of max_tokens ({self.max_tokens // 2})")
        return self


class Files(Section):
    """Bounds on reading one HTML, PDF, Office, mail or zip file; one beyond them is left out and listed."""

    max_mb: float = Field(200.0, gt=0, le=4096)
    """Largest file, and largest content of an archive once unpacked, in MB."""
    memory_mb: int = Field(2048, ge=256, le=65536)
    """Memory of the process that reads them, in MiB."""
    timeout_s: float = Field(120.0, gt=0, le=86400)
    """Longest time for one file, in seconds."""


class QualityLimits(Section):
    """Shares above which the run fails, with the remedy."""

    truncated_share: float = Field(1.0, ge=0, le=1)
    """Documents longer than the model reads."""
    duplicate_share: float = Field(1.0, ge=0, le=1)
    """Exact duplicates."""
    rejected_share: float = Field(0.5, ge=0, le=1)
    """Rows that were skipped."""


class Ingest(Section):
    """Documents: read, cleaned, deduplicated, cut, profiled."""

    source: Source | None = None
    """Where the documents come from. null: where those of the live release came from."""
    on_bad_row: Literal["auto", "fail", "skip"] = "auto"
    """A row or a file that cannot be used ends the run, or is skipped, counted and listed in rejected.jsonl;
    ``auto`` skips files of a folder and fails at rows of a table."""
    duplicates: Literal["auto", "drop", "keep"] = "auto"
    """Documents with equal title and text: ``drop`` keeps the first id (labels follow it), ``keep`` counts
    them; ``auto`` keeps them in BEIR folders, whose published figures count them, and drops elsewhere."""
    near_duplicates: NearDuplicates = NearDuplicates()
    """What happens to documents that say nearly the same."""
    chunk: Chunking = Chunking()
    """How long documents are cut."""
    tokenizer: str = "all-MiniLM-L6-v2"
    """Model whose tokenizer measures and cuts (name or folder); the base model's unless given."""
    max_document_mb: float = Field(4.0, gt=0, le=1024)
    """Longest line, text file or text that is taken for a document, in MB of UTF-8."""
    files: Files = Files()
    """Bounds on the reading of HTML, PDF, Office, mail and zip files."""
    limits: QualityLimits = QualityLimits()
    """Shares above which the run fails."""


class NoLabels(Section):
    """No labels: test and dev queries are derived from held-out documents."""

    type: Literal["none"] = "none"


class AutoLabels(Section):
    """The queries and qrels of a BEIR folder where there are any; else none."""

    type: Literal["auto"] = "auto"
    path: _Path
    """File or folder of the documents."""


class BeirLabels(Section):
    """``queries.jsonl`` and ``qrels/<split>.tsv`` of a BEIR folder."""

    type: Literal["beir"] = "beir"
    path: _Path
    """The folder."""


class FileLabels(Section):
    """A file of queries and one file of judgements without splits, or one a split."""

    type: Literal["files"] = "files"
    queries: _Path
    """JSONL with _id and text, or CSV/TSV with query_id and text."""
    qrels: _OptionalPath = None
    """Judgements without splits: TSV or CSV of query, document and score, or TREC qrels."""
    train: _OptionalPath = None
    """Judgements of the train split."""
    dev: _OptionalPath = None
    """Judgements of the dev split."""
    test: _OptionalPath = None
    """Judgements of the test split."""

    @model_validator(mode="after")
    def _something_judged(self) -> FileLabels:
        named = [self.train, self.dev, self.test]
        if (self.qrels is None) == (not any(named)):
            raise ValueError("give either `qrels` or some of `train`, `dev`, `test`")
        return self


class LogLabels(Section):
    """A log of (query, clicked or judged document, count): JSONL, CSV or TSV."""

    type: Literal["log"] = "log"
    path: _Path
    """The file."""
    query_field: str = "query"
    """Column of the query's text."""
    doc_field: str = "doc_id"
    """Column of the document's id."""
    count_field: str = "count"
    """Column of the count; without a column `count` a row counts one, of another name it must be there."""
    min_count: int = Field(1, ge=1)
    """Clicks below which a pair is no label."""


Labels = Annotated[NoLabels | AutoLabels | BeirLabels | FileLabels | LogLabels, Field(discriminator="type")]


class Split(Section):
    """Queries and judgements divided into train, dev and test, safe from leaks."""

    labels: Labels = NoLabels()
    """Where queries and judgements come from."""
    marks: Annotated[Literal["workspace", "none"] | Path, Field(json_schema_extra=OPERATIONAL)] = "workspace"
    """Results marked as right or wrong, added to the training labels: those of the workspace, which
    `embedlib serve` writes, none, or a file of JSON lines with query, doc_id and relevance (1 or 0)."""
    on_bad_row: Literal["fail", "skip"] = "fail"
    """A judgement or query that cannot be used ends the run, or is skipped, counted and listed."""
    test_queries: int = Field(500, ge=1)
    """Test queries aimed at where no test split is given (a fifth of what there is, at most this)."""
    dev_queries: int = Field(300, ge=1)
    """Dev queries aimed at where no dev split is given (a tenth of what there is, at most this)."""
    near_duplicate: float = Field(0.9, gt=0, le=1)
    """Jaccard similarity of character trigrams above which two queries are one."""
    min_body_words: int = Field(8, ge=1)
    """Words that must remain of a document when a derived query is taken out of it."""

    def with_marks_of_workspace(self, file: Path) -> Split:
        """The same options, with the workspace's own marks where no others are chosen and there are some."""
        if self.marks != "workspace":
            return self
        return self.model_copy(update={"marks": file if file.is_file() else "none"})
