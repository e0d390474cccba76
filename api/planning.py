"""What a job would be."""

from api.plan_views import PlanView, show_plan
from api.services import Services
from ddoq.config import DistillConfig
from jobs.admission import admit
from jobs.forecasts import plan_stages


def plan_job(using: Services, owner: str, config: DistillConfig) -> PlanView:
    """Look at the dataset of a job that is not stored.

    Raises:
        DdoqError: what the job would be refused for, or would fail with before any work.
    """
    admit(config, using.settings)
    findings = using.inspector.inspect(owner, config)
    return show_plan(config, findings, plan_stages(using.engine, config, findings))
