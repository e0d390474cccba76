"""Traces by OpenTelemetry, where its own variables name a receiver; else nothing is done, and it need not be installed.

One trace goes from the request that asked for a job to each unit of it and to each webhook about it: the job's row
keeps the trace context.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from jobs.logs import bound

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

RECEIVERS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
HEADER: Final = "traceparent"  # W3C Trace Context

Kind = Literal["server", "consumer", "client"]
Attributes = Mapping[str, str | int]

_opened: list["TracerProvider"] = []  # at most one a process


class Traced:
    """A step that is being traced, or would be."""

    def __init__(self, span: "Span | None" = None) -> None:
        self._span = span

    def tell(self, name: str | None, attributes: Attributes) -> None:
        """Add what is known only now, and rename the step, if `name` says so."""
        if self._span is not None:
            self._span.set_attributes(dict(attributes))
            if name:
                self._span.update_name(name)

    def fail(self, kind: str) -> None:
        """Mark the step as failed, by a kind of error such as its code."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute("error.type", kind)
            self._span.set_status(Status(StatusCode.ERROR, kind))


def open_tracing(service: str) -> None:
    """Send the spans of this process to the receiver that the environment names, if it does.

    Call it behind the last fork: the sender is a thread. OTEL_SERVICE_NAME goes before `service`.
    """
    if _opened or not any(os.environ.get(name) for name in RECEIVERS):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", service)})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _opened.append(provider)


def close_tracing() -> None:
    """Send what is left."""
    while _opened:
        _opened.pop().shutdown()


@contextmanager
def traced(name: str, kind: Kind, parent: str | None, attributes: Attributes) -> Iterator[Traced]:
    """Trace the block as one step of the trace of `parent`, a W3C traceparent, or else of a new one."""
    if not _opened:
        yield Traced()
        return
    from opentelemetry.trace import SpanKind, use_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    tracer = _opened[0].get_tracer("ddoq")
    context = TraceContextTextMapPropagator().extract({HEADER: parent} if parent else {})
    span = tracer.start_span(name, context, SpanKind[kind.upper()], dict(attributes))
    trace_id = f"{span.get_span_context().trace_id:032x}"
    # No exception is recorded: its text would go out unseen.
    with (
        use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False),
        bound(trace_id=trace_id),
    ):
        yield Traced(span)


def current_traceparent() -> str | None:
    """Write down the step that is being traced, for whoever goes on with it."""
    if not _opened:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(HEADER)
