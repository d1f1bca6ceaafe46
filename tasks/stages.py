"""The stages as tasks: each takes its options and the artifacts that the ``run`` of its module reads."""

from __future__ import annotations

from embedlib.artifact import ArtifactRef
from embedlib.config.models import Sparse
from embedlib.stages.adapt import STAGE as ADAPT
from embedlib.stages.choice import STAGE as CHOICE
from embedlib.stages.decide import STAGE as DECIDE
from embedlib.stages.distil import STAGE as DISTIL
from embedlib.stages.encode import STAGE as ENCODE
from embedlib.stages.evaluate import STAGE as EVALUATE
from embedlib.stages.general import STAGE as GENERAL
from embedlib.stages.index import STAGE as INDEX
from embedlib.stages.ingest import STAGE as INGEST
from embedlib.stages.merge import STAGE as MERGE
from embedlib.stages.mine import STAGE as MINE
from embedlib.stages.pin import STAGE as PIN
from embedlib.stages.probe import STAGE as PROBE
from embedlib.stages.report import STAGE as REPORT
from embedlib.stages.reranker import STAGE as RERANKER
from embedlib.stages.reranking import STAGE as RERANKING
from embedlib.stages.sparse import STAGE as SPARSE
from embedlib.stages.split import STAGE as SPLIT
from embedlib.stages.student import STAGE as STUDENT
from embedlib.stages.synthesize import STAGE as SYNTHESIZE
from embedlib.stages.train import STAGE as TRAIN
from tasks.context import RunContext
from tasks.stage import StageTask

pin = StageTask(PIN)
ingest = StageTask(INGEST)
split = StageTask(SPLIT)
encode = StageTask(ENCODE)
synthesize = StageTask(SYNTHESIZE)
probe = StageTask(PROBE)
mine = StageTask(MINE)
adapt = StageTask(ADAPT)
train = StageTask(TRAIN)
merge = StageTask(MERGE)
evaluate = StageTask(EVALUATE)
general = StageTask(GENERAL)
choice = StageTask(CHOICE)
decide = StageTask(DECIDE)
index = StageTask(INDEX)
report = StageTask(REPORT)
distil = StageTask(DISTIL)
student = StageTask(STUDENT)
reranker = StageTask(RERANKER)
reranking = StageTask(RERANKING)


def sparse(run: RunContext, config: Sparse, label: str = "", *, corpus: ArtifactRef) -> ArtifactRef | None:
    """The corpus by the sparse encoder; None where none is named."""
    return StageTask(SPARSE)(run, config, label, corpus=corpus) if config.model else None
