"""The gRPC port of a stand-in for a Qdrant server: its points, and what it says of itself. What is asked here is answered there."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from qdrant_client import grpc as qdrant
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc.points_service_pb2_grpc import PointsServicer, add_PointsServicer_to_server
from qdrant_client.grpc.qdrant_pb2_grpc import QdrantServicer, add_QdrantServicer_to_server
from scopes import Denied, access_of
from standin import Fault, QdrantStandIn

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    507: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class GrpcStandIn:
    """Listens on a free port of 127.0.0.1 for a stand-in that is open."""

    def __init__(self, standin: QdrantStandIn, credentials: grpc.ServerCredentials | None = None, port: int = 0) -> None:
        self.calls: list[str] = []
        self.timeouts: list[float] = []  # seconds that each call had
        self.ordering: list[str | None] = []  # of each write
        self.consistency: list[Any] = []  # of each read
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        add_PointsServicer_to_server(_Points(self, standin), self._server)  # type: ignore[no-untyped-call]
        add_QdrantServicer_to_server(_Qdrant(self, standin), self._server)  # type: ignore[no-untyped-call]
        address = f"127.0.0.1:{port}"
        self.port = self._server.add_secure_port(address, credentials) if credentials else self._server.add_insecure_port(address)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.stop(None).wait()


class _Qdrant(QdrantServicer):
    def __init__(self, port: GrpcStandIn, standin: QdrantStandIn) -> None:
        self._port, self._standin = port, standin

    def HealthCheck(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        del request, context
        self._port.calls.append("HealthCheck")
        return qdrant.HealthCheckReply(title="qdrant - vector search engine", version=self._standin.version)


class _Points(PointsServicer):
    def __init__(self, port: GrpcStandIn, standin: QdrantStandIn) -> None:
        self._port, self._standin = port, standin

    def _answer(self, context: grpc.ServicerContext, method: str, path: str, body: dict[str, Any]) -> Any:
        self._port.calls.append(path.rpartition("points")[2].strip("/") or "upsert")
        self._port.timeouts.append(context.time_remaining())
        standin = self._standin
        fault = standin.faults.popleft() if standin.faults else Fault()
        time.sleep(fault.delay_s)
        if fault.status or fault.reset:
            context.abort(_CODES[fault.status or 503], "planted")
        try:
            refusal = access_of(standin.api_key, dict(context.invocation_metadata()), path).refusal(method, path)
        except Denied as error:
            context.abort(_CODES[error.status], error.text)
        if refusal:
            context.abort(_CODES[403], f"Forbidden: {refusal}")
        try:
            status, result = standin.answer(method, path, body)
        except ValueError as error:  # what the engine refuses
            status, result = 400, str(error)
        if status == 507:
            context.set_trailing_metadata((("qdrant-insufficient-storage", "true"),))
        if status != 200:
            context.abort(_CODES[status], str(result))
        return result

    def _reads(self, request: Any) -> None:
        asked = GrpcToRest.convert_read_consistency(request.read_consistency) if request.HasField("read_consistency") else None
        consistency = asked.value if isinstance(asked, models.ReadConsistencyType) else asked
        self._port.consistency.append(consistency)
        self._standin.query = {} if consistency is None else {"consistency": [str(consistency)]}

    def _writes(self, request: Any) -> None:
        asked = GrpcToRest.convert_write_ordering(request.ordering) if request.HasField("ordering") else None
        ordering = asked.value if asked else None
        self._port.ordering.append(ordering)
        self._standin.query = {"wait": [str(request.wait).lower()], **({"ordering": [ordering]} if ordering else {})}

    def Upsert(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._writes(request)
        body: dict[str, Any] = {"points": [_plain(GrpcToRest.convert_point_struct(one)) for one in request.points]}
        if request.HasField("update_filter"):
            body["update_filter"] = _plain(GrpcToRest.convert_filter(request.update_filter))
        if request.HasField("update_mode"):
            body["update_mode"] = GrpcToRest.convert_update_mode(request.update_mode).value
        self._answer(context, "PUT", f"/collections/{request.collection_name}/points", body | _key(request))
        return _completed()

    def UpdateVectors(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._writes(request)
        points = [_plain(GrpcToRest.convert_point_vectors(one)) for one in request.points]
        body = {"points": points, "update_filter": _filter(request, "update_filter")}
        self._answer(context, "PUT", f"/collections/{request.collection_name}/points/vectors", body | _key(request))
        return _completed()

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._writes(request)
        body = _plain(GrpcToRest.convert_points_selector(request.points))
        self._answer(context, "POST", f"/collections/{request.collection_name}/points/delete", body | _key(request))
        return _completed()

    def Count(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._reads(request)
        body = {"filter": _filter(request, "filter"), "exact": request.exact}
        told = self._answer(context, "POST", f"/collections/{request.collection_name}/points/count", body | _key(request))
        return qdrant.CountResponse(result=RestToGrpc.convert_count_result(models.CountResult.model_validate(told)))

    def Scroll(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._reads(request)
        body = {
            "filter": _filter(request, "filter"),
            "limit": request.limit,
            "offset": GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
            "with_payload": _plain(GrpcToRest.convert_with_payload_selector(request.with_payload)),
            "with_vector": GrpcToRest.convert_with_vectors_selector(request.with_vectors),
        }
        told = self._answer(context, "POST", f"/collections/{request.collection_name}/points/scroll", body | _key(request))
        records = [models.Record.model_validate({"payload": {}, **one}) for one in told["points"]]
        offset = told["next_page_offset"]
        return qdrant.ScrollResponse(
            result=[RestToGrpc.convert_retrieved_point(one) for one in records],
            next_page_offset=None if offset is None else RestToGrpc.convert_extended_point_id(offset),
        )

    def QueryBatch(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._reads(request)
        body = {"searches": [_plain(GrpcToRest.convert_query_points(one)) for one in request.query_points]}
        told = self._answer(context, "POST", f"/collections/{request.collection_name}/points/query/batch", body)
        found = [[models.ScoredPoint.model_validate(one) for one in answer["points"]] for answer in told]
        results = [qdrant.BatchResult(result=[RestToGrpc.convert_scored_point(one) for one in points]) for points in found]
        return qdrant.QueryBatchResponse(result=results)


def _completed() -> Any:
    return qdrant.PointsOperationResponse(result=qdrant.UpdateResult(operation_id=0, status=qdrant.UpdateStatus.Completed))


def _key(request: Any) -> dict[str, Any]:
    if not request.HasField("shard_key_selector"):
        return {}
    convert: Callable[[Any], Any] = GrpcToRest.convert_shard_key_selector
    return {"shard_key": _plain(convert(request.shard_key_selector))}


def _filter(request: Any, name: str) -> dict[str, Any] | None:
    convert: Callable[[Any], models.Filter] = GrpcToRest.convert_filter
    return _plain(convert(getattr(request, name))) if request.HasField(name) else None


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True) if hasattr(value, "model_dump") else value
