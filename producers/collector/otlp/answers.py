"""Answers to OTLP requests in the encoding of the request.

Source: OTLP/HTTP and OTLP/gRPC of the OpenTelemetry protocol specification 1.x.
"""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Response
from google.protobuf.json_format import MessageToDict
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from runfold.producers.collector.otlp.intake import Outcome
from runfold.producers.collector.otlp.items import Signal
from runfold.producers.collector.problems import Problem

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

RESPONSES: dict[Signal, tuple[Any, str]] = {
    Signal.TRACES: (ExportTraceServiceResponse, "rejected_spans"),
    Signal.METRICS: (ExportMetricsServiceResponse, "rejected_data_points"),
    Signal.LOGS: (ExportLogsServiceResponse, "rejected_log_records"),
}
_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    408: Code.DEADLINE_EXCEEDED,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    503: Code.UNAVAILABLE,
}


def accepted(signal: Signal, outcome: Outcome) -> Any:
    """Return the message that says what became of a request; empty where all was taken."""
    kind, rejected = RESPONSES[signal]
    response = kind()
    if outcome.rejected:
        setattr(response.partial_success, rejected, outcome.rejected)
        response.partial_success.error_message = outcome.message
    return response


def code_of(problem: Problem) -> Code.ValueType:
    """Return gRPC's word for a problem."""
    return _CODES.get(problem.status, Code.UNKNOWN)


def response_to(message: Any, media_type: str, status: int = 200, **headers: str) -> Response:
    """Return a message as the body of an answer."""
    if media_type == JSON:
        return Response(orjson.dumps(MessageToDict(message)), status, headers, JSON)
    return Response(message.SerializeToString(), status, headers, PROTOBUF)


def problem_response(problem: Problem, media_type: str) -> Response:
    """Return the answer to a request that was not taken: google.rpc.Status, as OTLP wants it.

    Shape: 503 in place of 429, at which Automagik's clients throw away what they have.
    """
    message = Status(code=code_of(problem), message=problem.message)
    status = 503 if problem.status == 429 else problem.status
    return response_to(message, media_type, status, **problem.all_headers())
