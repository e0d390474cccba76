"""How an error looks over the wire, by RFC 9457."""

from pydantic import BaseModel, Field


class FaultView(BaseModel):
    """One thing that is wrong with the request."""

    pointer: str = Field(
        description="RFC 6901 pointer into the body; `?name` for a parameter of the query; `name:` for a "
        "header; empty for the whole."
    )
    code: str = Field(description="What is wrong, for programs.")
    message: str = Field(description="What is wrong, for people.")


class Problem(BaseModel):
    """An error, by RFC 9457. `code` never changes its meaning; docs/errors.md lists all codes."""

    type: str = Field(description="URI of the kind of error: `urn:ddoq:error:` and the code.")
    title: str = Field(description="The kind of error in one sentence, the same each time.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What went wrong this time, and what to change.")
    hint: str = Field(description="What to do about this kind of error, the same each time.")
    code: str = Field(description="Stable code, such as `dataset.outside_roots`.")
    request_id: str = Field(description="Names this request in the server's log; also the header X-Request-ID.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    errors: list[FaultView] = Field(description="Each single fault, where there is more to say than `detail`.")
