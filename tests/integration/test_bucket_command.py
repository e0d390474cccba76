"""`ddoq bucket ensure`, as the deployments run it before anything else."""

import pytest
from click.testing import CliRunner

from cli.main import main
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.settings import Settings


@pytest.fixture
def variables(empty_settings: Settings) -> dict[str, str]:
    return {
        "DDOQ_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",  # of no use here
        "DDOQ_BROKER_URL": empty_settings.broker_url,
        "DDOQ_S3_ENDPOINT": str(empty_settings.s3_endpoint),
        "DDOQ_S3_BUCKET": empty_settings.s3_bucket,
        "DDOQ_S3_ACCESS_KEY": empty_settings.s3_access_key,
        "DDOQ_S3_SECRET_KEY": empty_settings.s3_secret_key.get_secret_value(),
        "DDOQ_KEY_PEPPER": "a pepper for the tests",
    }


def test_the_bucket_is_made_once(empty_settings: Settings, variables: dict[str, str]) -> None:
    objects = ObjectStore(make_s3_client(empty_settings), empty_settings.s3_bucket)
    assert not objects.is_ready()
    for _ in range(2):
        assert CliRunner().invoke(main, ["bucket", "ensure"], env=variables, catch_exceptions=False).exit_code == 0
    assert objects.is_ready()


def test_an_object_store_that_is_away_is_said_in_a_sentence(variables: dict[str, str]) -> None:
    away = {**variables, "DDOQ_S3_ENDPOINT": "http://127.0.0.1:1"}
    result = CliRunner().invoke(main, ["bucket", "ensure"], env=away)
    assert (result.exit_code, result.output.startswith("Error: storage.unavailable: ")) == (1, True)
