"""What computed a job's files, for its page: read from the file that is in the archive, too."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from api.pages.job_images import prefix_of
from api.services import Services
from ddoq.environments import PROVENANCE, Provenance
from ddoq.events import Stage
from jobs.records import Artifact, Job

_PROVENANCE = TypeAdapter(Provenance)


def computed(using: Services, job: Job, artifacts: Sequence[Artifact], budget: str) -> Mapping[str, str]:
    """Say what computed the files of a budget; nothing until there are any, nor of jobs that did not note it."""
    name = prefix_of(job.config, budget) + PROVENANCE
    key = next((artifact.key for artifact in artifacts if artifact.name == name), None)
    return {} if key is None else in_rows(using.kept_json.read(key, _PROVENANCE))


def in_rows(provenance: Provenance) -> Mapping[str, str]:
    """Write a row for each environment; with its stages, where there are several."""
    stages = defaultdict[str, list[Stage]](list)
    for stage, environments in provenance.items():
        for environment in environments:
            stages[environment.in_words()].append(stage)
    if len(stages) == 1:
        return {"computed by": next(iter(stages))}
    return {f"{', '.join(some)} computed by": words for words, some in stages.items()}
