"""From the documents to training material, and from that to a tuned model."""

from __future__ import annotations

from embedlib.artifact import ArtifactRef
from embedlib.config.root import Config
from embedlib.pairs.report import ProbeResult
from flows.proof import Data, Encoded
from tasks import stages
from tasks.context import RunContext


def lessons(run: RunContext, config: Config, data: Data, start: Encoded) -> dict[str, ArtifactRef]:
    """What a model is trained on: pairs, which of their origins help, and examples, if any pair is left."""
    pairs = stages.synthesize(run, config.synthesize, **data._asdict(), **start._asdict())
    probed = stages.probe(run, config.probe, **data._asdict(), **start._asdict(), pairs=pairs)
    if not ProbeResult.read(probed.path).kept:
        return {"pairs": pairs, "probe": probed}
    examples = stages.mine(run, config.mine, **data._asdict(), **start._asdict(), pairs=pairs, probe=probed)
    return {"pairs": pairs, "probe": probed, "examples": examples}


def tune(
    run: RunContext, config: Config, data: Data, start: Encoded, examples: ArtifactRef | None
) -> ArtifactRef:
    """A model adapted, where that is wanted, and fine-tuned on examples, where there are any."""
    adapt = config.adapt.method != "none"
    model = stages.adapt(run, config.adapt, **data._asdict(), model=start.model) if adapt else start.model
    if examples is None:
        return model
    return stages.train(run, config.train, **data._asdict(), examples=examples, model=model)
