"""The query by which deploy/kubernetes/overlays/keda says how many workers there should be."""

import yaml
from sqlalchemy import Engine, text

from jobs.leases import Leases
from jobs.store import Store
from tests.job_steps import CONFIG, succeed, take
from tests.manifests import KUBERNETES


def wanted(engine: Engine) -> int:
    """Ask as KEDA would."""
    manifests = yaml.safe_load_all((KUBERNETES / "overlays" / "keda" / "scaledobject.yaml").read_text())
    (scaled,) = [one for one in manifests if one["kind"] == "ScaledObject"]
    (trigger,) = scaled["spec"]["triggers"]
    with engine.connect() as connection:
        return int(connection.execute(text(trigger["metadata"]["query"])).scalar_one())


def test_nobody_is_wanted_where_there_is_no_job(engine: Engine) -> None:
    assert wanted(engine) == 0


def test_a_worker_is_wanted_for_each_unit_that_waits_or_is_run(engine: Engine, store: Store, leases: Leases) -> None:
    for _ in range(3):
        store.submit("ada", CONFIG)
    assert wanted(engine) == 3
    claim = take(leases)
    assert wanted(engine) == 3
    leases.finish(claim)  # the next stage is ready
    assert wanted(engine) == 3


def test_nobody_is_wanted_for_what_has_ended_or_is_only_waited_out(
    engine: Engine, store: Store, leases: Leases
) -> None:
    succeed(store, leases)
    assert wanted(engine) == 0
    job = store.submit("ada", CONFIG)
    claim = take(leases)
    store.cancel("ada", job.id)
    assert wanted(engine) == 1  # its worker is on the way to the next batch
    leases.stop_cancelled(claim)
    assert wanted(engine) == 0
