"""Where did a request spend its time? A trace for OpenTelemetry, with a span for each stage; no texts, no queries, no keys."""

import importlib.metadata
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search.factory import needs_extra

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

_PASSED_ON = {b"traceparent", b"tracestate"}
_OWN_FAULT = 500  # from this status on
_EXPORT_S = 5.0
_CLOSE_S = 3.0


@dataclass
class Span:
    """What a span records of a request, or of a part of it.

    Attributes:
        trace_id: of the whole trace, 32 hexadecimal digits; None where there is none.
        attributes: what is known of it at its end.
        stages: what it did, one after another, each with its seconds.
    """

    trace_id: str | None = None
    attributes: dict[str, str | int | float] = field(default_factory=dict)
    stages: list[tuple[str, float]] = field(default_factory=list)


class Traces:
    """Sends them to a collector; without one, it does nothing."""

    def __init__(self, url: str | None) -> None:
        """Start sending, in a thread of its own, if there is a collector, which takes OTLP over HTTP.

        Raises:
            MissingExtra: OpenTelemetry is not installed.
        """
        self._provider = None if url is None else _provider(url)

    def request(self, name: str, headers: Mapping[bytes, str]) -> AbstractContextManager[Span]:
        """Around a request, which belongs to the trace that its headers name."""
        if self._provider is None:
            return nullcontext(Span())
        from opentelemetry.context import Context
        from opentelemetry.propagate import extract

        passed_on = {key.decode(): value for key, value in headers.items() if key in _PASSED_ON}
        return self._span(self._provider, name, extract(passed_on, Context()))

    def part(self, name: str) -> AbstractContextManager[Span]:
        """Around a part of the request under way."""
        return nullcontext(Span()) if self._provider is None else self._span(self._provider, name, None)

    def close(self) -> None:
        """Send the rest, within a few seconds."""
        if self._provider is not None:
            sending = threading.Thread(target=self._provider.shutdown, daemon=True)
            sending.start()
            sending.join(_CLOSE_S)  # by itself it would try for longer

    @staticmethod
    @contextmanager
    def _span(provider: "TracerProvider", name: str, parent: "Context | None") -> Iterator[Span]:
        from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

        tracer = provider.get_tracer("search")
        kind = SpanKind.INTERNAL if parent is None else SpanKind.SERVER
        with tracer.start_as_current_span(
            name, parent, kind, record_exception=False, set_status_on_exception=False
        ) as own:  # an exception's message may quote a request
            began = time.time_ns()
            span = Span(format_trace_id(own.get_span_context().trace_id))
            try:
                yield span
            except BaseException as error:
                own.set_status(StatusCode.ERROR, type(error).__name__)
                raise
            finally:
                own.set_attributes(span.attributes)
                if int(span.attributes.get("http.response.status_code", 0)) >= _OWN_FAULT:
                    own.set_status(StatusCode.ERROR)
                for stage, seconds in span.stages:
                    ended = began + int(seconds * 1e9)
                    tracer.start_span(stage, start_time=began).end(ended)
                    began = ended


def _provider(url: str) -> "TracerProvider":
    with needs_extra():
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    own: dict[str, Any] = {"service.name": "two-stage-search", "service.version": importlib.metadata.version("two-stage-search")}
    resource = Resource.create(own).merge(OTELResourceDetector().detect())  # what the environment says goes before
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces", timeout=_EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
