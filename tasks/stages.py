"""One task a stage: the rows of the DAG's table, in its order."""

from embedlib.stages.adapt import STAGE as ADAPT
from embedlib.stages.base_model import STAGE as BASE_MODEL
from embedlib.stages.decide import STAGE as DECIDE
from embedlib.stages.encode import STAGE as ENCODE
from embedlib.stages.evaluate import STAGE as EVALUATE
from embedlib.stages.general import STAGE as GENERAL
from embedlib.stages.index import STAGE as INDEX
from embedlib.stages.ingest import STAGE as INGEST
from embedlib.stages.merge import STAGE as MERGE
from embedlib.stages.mine import STAGE as MINE
from embedlib.stages.probe import STAGE as PROBE
from embedlib.stages.report import STAGE as REPORT
from embedlib.stages.split import STAGE as SPLIT
from embedlib.stages.synthesize import STAGE as SYNTHESIZE
from embedlib.stages.train import STAGE as TRAIN
from tasks.stage import stage_task

ingest = stage_task(INGEST)
split = stage_task(SPLIT)
base_model = stage_task(BASE_MODEL)
encode = stage_task(ENCODE, accelerated=True)
synthesize = stage_task(SYNTHESIZE)
probe = stage_task(PROBE, accelerated=True)
mine = stage_task(MINE)
adapt = stage_task(ADAPT, accelerated=True)
train = stage_task(TRAIN, accelerated=True)
merge = stage_task(MERGE)
evaluate = stage_task(EVALUATE)
general = stage_task(GENERAL)
decide = stage_task(DECIDE)
index = stage_task(INDEX)
report = stage_task(REPORT)
