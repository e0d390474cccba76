"""What lists that come page by page share."""

from typing import Annotated

from pydantic import Field

Cursor = Annotated[str | None, Field(max_length=200, description="The `next_cursor` of the page before.")]
NextCursor = Annotated[str | None, Field(description="Ask again with this as `cursor`; null on the last page.")]
