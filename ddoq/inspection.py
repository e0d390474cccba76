"""`python -m ddoq.inspection`: look at a dataset in a process of its own, which may take only so much.

The question comes as JSON on stdin and the answer goes as JSON to stdout. Nothing is decoded.
"""

import resource
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from ddoq.blocks import plan_blocks
from ddoq.budgets import Budget, given_budgets
from ddoq.budgets import require_room as require_images_for
from ddoq.datasets import Dataset, open_dataset, require_images
from ddoq.errors import DdoqError
from ddoq.findings import ANSWER, QUESTION, Findings, Question, Refusal, S3Place
from ddoq.guard import Rules
from ddoq.read_manifest import ReadManifest
from ddoq.source_uris import Reach
from ddoq.sources import Access, StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FEW_TESTS: Final = 5  # images of a class, below which its accuracy moves in large steps
TOO_LARGE: Final = 3  # exit status: memory or disk was not enough


def main() -> None:
    """Answer the question on stdin."""
    question = QUESTION.validate_json(sys.stdin.buffer.read())
    try:
        _limit(question)
        answer: Findings | Refusal = inspect(question)
    except DdoqError as error:
        answer = Refusal(error.code, str(error))
    except (MemoryError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201  the parent logs it
        sys.exit(TOO_LARGE)
    sys.stdout.buffer.write(ANSWER.dump_json(answer))


def inspect(question: Question) -> Findings:
    """Do what the read stage does, but for models.

    Raises:
        DdoqError: what a job would fail with before any work.
    """
    start, config = time.monotonic(), question.config
    dataset = open_dataset(config.dataset, _access(question), config.validation_share)
    n_train = dataset.counts["train"]
    budgets = given_budgets(config, dataset.class_names)
    if config.total_images is not None:
        require_images_for(n_train, config.total_images)
    each = budgets or (Budget(f"total-{config.total_images}", (1,) * len(dataset.class_names)),)
    require_images(dataset, [max(counts) for counts in zip(*(budget.counts for budget in each), strict=True)])
    n_images = {budget.name: config.total_images or sum(budget.counts) for budget in each}
    _require_label_room(question, n_images, len(dataset.class_names))
    listed = ReadManifest(
        class_names=dataset.class_names,
        n_train=n_train,
        n_test=dataset.counts["test"],
        n_validation=dataset.counts.get("validation"),
        held_out=dataset.held_out,
        left_out=dataset.left_out,
        fingerprint=dataset.fingerprint,
    )
    return Findings(
        format=dataset.format,
        listed=listed,
        n_bytes=dataset.n_bytes,
        n_images=n_images,
        blocks=plan_blocks(config, listed),
        warnings=(*dataset.remarks, *_warnings(dataset, budgets or ())),
        seconds=round(time.monotonic() - start, 3),
        peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )


def _limit(question: Question) -> None:
    """Let the system end this process should it take more than it may."""
    for kind, most in (
        (resource.RLIMIT_CPU, question.cpu_seconds),
        (resource.RLIMIT_AS, question.memory_bytes),
        (resource.RLIMIT_FSIZE, question.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _access(question: Question) -> Access:
    upload, s3 = question.upload, question.s3
    make = partial(_client, s3) if s3 else None

    def find(upload_id: str) -> StoredObject | None:
        is_it = upload is not None and upload.id == upload_id
        return StoredObject(make, upload.bucket, upload.key) if make and upload and is_it else None

    web = question.web
    reach = Reach(web.hosts, web.hub_datasets, web.hub, Rules(web.private_networks), web.max_bytes)
    return Access(question.file_roots, question.s3_buckets, make, question.cache, reach, question.own_bucket, find)


def _client(place: S3Place) -> "S3Client":
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=place.endpoint,
        aws_access_key_id=place.access_key,
        aws_secret_access_key=place.secret_key,
        aws_session_token=place.session_token,
        region_name=place.region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            response_checksum_validation="when_required",
            connect_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 2},
        ),
    )


def _require_label_room(question: Question, n_images: dict[str, int], n_classes: int) -> None:
    if question.config.teacher is not None:
        from ddoq.label_sizes import require_room  # torch

        require_room(question.config, n_images, n_classes)


def _warnings(dataset: Dataset, budgets: tuple[Budget, ...]) -> Iterator[str]:
    """Say what can be run, and hardly be meant."""
    n_train, n_test, names = dataset.counts["train"], dataset.counts["test"], dataset.class_names
    for budget in budgets:
        whole = [name for name, n, k in zip(names, n_train, budget.counts, strict=True) if n == k]
        if whole:
            yield f"{budget.name} asks for as many images as {len(whole)} classes have, such as {whole[0]!r}"
    few = [name for name, n in zip(names, n_test, strict=True) if n < FEW_TESTS]
    if few:
        yield f"{len(few)} classes have fewer than {FEW_TESTS} test images, such as {few[0]!r}: coarse accuracies"
    if max(n_train) > 100 * min(n_train):
        yield f"the largest class has {max(n_train)} training images and the smallest {min(n_train)}"


if __name__ == "__main__":
    main()
