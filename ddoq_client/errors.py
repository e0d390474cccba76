"""What a call can end with.

ServiceError
├── NotConfiguredError    no service or no API key is named
├── ConfigError           what was to be submitted is no config
├── NotAnsweredError      nobody answered, also not when asked again
├── NotDdoqError          somebody else answered
├── ProblemError          the service refused, and says why
├── WaitTimeoutError      the job has not ended in time
├── JobFailedError        the job ended without success
├── ArtifactError         the job has no such file
├── UnsafeNameError       a file's name leads out of the folder
├── ChecksumError         a file came with other bytes than the service promised
└── ArchiveError          the archive cannot be shown
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


class Fault(BaseModel):
    """One thing that is wrong. `pointer`: JSON pointer into the body, or `?name` of the query, `name:` of a header."""

    model_config = ConfigDict(frozen=True)

    pointer: str = ""
    code: str = ""
    message: str


class Problem(BaseModel):
    """A problem document of the service, by RFC 9457; `docs/errors.md` lists the codes."""

    model_config = ConfigDict(frozen=True)

    code: str
    title: str = ""
    detail: str
    status: int
    hint: str = ""
    retryable: bool = False
    request_id: str = ""
    errors: tuple[Fault, ...] = ()


class ServiceError(Exception):
    """A call of the service did not end as it should."""


class NotConfiguredError(ServiceError):
    """No service or no API key is named, or none that can be one."""


class ConfigError(ServiceError, ValueError):
    """What was to be submitted is no config."""


class NotAnsweredError(ServiceError):
    """Nobody answered, also not when asked again."""


class NotDdoqError(ServiceError):
    """Somebody answered with something that this service never says."""


class ProblemError(ServiceError):
    """The service refused, and says why: `code` is for programs, `hint` says what to do."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(problem, retry_after_seconds)
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def title(self) -> str:
        return self.problem.title

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def hint(self) -> str:
        return self.problem.hint

    @property
    def retryable(self) -> bool:
        return self.problem.retryable

    @property
    def request_id(self) -> str:
        return self.problem.request_id

    @property
    def errors(self) -> Sequence[Fault]:
        return self.problem.errors


class WaitTimeoutError(ServiceError, TimeoutError):
    """The job has not ended in the time that was given."""


class JobFailedError(ServiceError):
    """The job ended without success. `code` is that of its failure, or its status where it has none."""

    def __init__(self, job_id: str, code: str, message: str) -> None:
        super().__init__(job_id, code, message)
        self.job_id, self.code, self.message = job_id, code, message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ArtifactError(ServiceError):
    """The job has no such file, or none yet."""


class UnsafeNameError(ServiceError):
    """A file's name leads out of the folder."""


class ChecksumError(ServiceError):
    """A file came with other bytes than the service promised."""


class ArchiveError(ServiceError):
    """The archive cannot be shown: it is damaged, or larger than is sensible."""
