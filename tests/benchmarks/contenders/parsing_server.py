"""An HTTP endpoint that only parses what it gets and answers 200: what Python can do at best.

`python -m tests.benchmarks.contenders.parsing_server PORT`
"""

from __future__ import annotations

import sys

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

app = FastAPI()


@app.post("/api/v1/runs")
@app.post("/api/v1/runs/batch")
async def runs(request: Request) -> Response:
    """Parse JSON."""
    orjson.loads(await request.body())
    return Response(b'{"status":"created"}', media_type="application/json")


@app.post("/v1/traces")
async def traces(request: Request) -> Response:
    """Parse protobuf."""
    ExportTraceServiceRequest.FromString(await request.body())
    return Response(b"", media_type="application/x-protobuf")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), http="httptools", log_level="error")
