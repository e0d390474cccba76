"""What a process that looked at a dataset tells the one that asked."""

import inspect

import pytest

from ddoq import errors
from ddoq.findings import Refusal

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.DdoqError)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_the_error_that_it_names(kind: type[errors.DdoqError]) -> None:
    error = Refusal(kind.code, "a sentence").error
    assert (type(error), str(error)) == (kind, "a sentence")


def test_a_code_that_nobody_knows_is_what_nobody_foresaw() -> None:
    assert type(Refusal("no.such_code", "a sentence").error) is errors.DdoqError
