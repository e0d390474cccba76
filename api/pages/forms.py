"""Plain forms: fields of a body as browsers send them. Ours, not the framework's: the session is checked before."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from api.errors import ContentTypeError, InvalidRequestError

FORM_TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 1000
PROOF_FIELD = "form_token"


@dataclass(frozen=True)
class Form:
    """The fields of a form, in their order."""

    fields: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """Return the last text of a field; empty where there is none."""
        return next((text for field, text in reversed(self.fields) if field == name), "")

    def has(self, name: str) -> bool:
        """Whether the browser sent the field at all: it leaves out boxes that are not ticked."""
        return any(field == name for field, _ in self.fields)


async def read_form(request: Request) -> Form:
    """Read the body as a form.

    Raises:
        ContentTypeError: it is declared as something else.
        InvalidRequestError: it is no form.
    """
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != FORM_TYPE:
        raise ContentTypeError(f"the body is declared as {declared!r}; send it as {FORM_TYPE}")
    try:
        body = (await request.body()).decode("ascii")
        return Form(tuple(parse_qsl(body, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)))
    except ValueError as error:
        raise InvalidRequestError(f"the body is not a form: {error}") from None


FormOf = Annotated[Form, Depends(read_form)]
