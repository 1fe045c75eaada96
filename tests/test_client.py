"""The client gives what the library gives, errors included, at once and with await."""

import asyncio
import dataclasses
import gc
import inspect
import itertools
import json
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
import pytest
from commands import search
from qdrant_client import models
from serving import FOUR, PETS, Served, serving, slowed, with_pets

from search import read
from search.api.keys import new_key
from search.client import AsyncClient, Client
from search.documents import Document, Rejection, SearchResult
from search.errors import (
    CollectionNotFound,
    DocumentNotFound,
    InvalidDocument,
    InvalidInput,
    InvalidQuery,
    InvalidSettings,
    SearchError,
    ServiceOverloaded,
    ServiceRefused,
    ServiceUnreachable,
    UnsupportedFilter,
)
from search.ingestion.report import IngestReport, Progress
from search.query.options import Choices, SearchOptions
from search.searcher import Searcher
from search.settings import Settings


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    with serving(settings, with_pets) as one:
        yield one


def without_times(result: Any) -> Any:
    match result:
        case SearchResult():
            return dataclasses.replace(result, timings_ms={})
        case IngestReport():
            return dataclasses.replace(result, seconds=0)
        case _:
            return result


def test_the_values_are_the_librarys(served: Served) -> None:
    with Client(served.url) as client:
        asked: dict[str, Any] = {"limit": 2, "depth": 3, "filter": FOUR, "group_by": "document"}
        there, here = client.search("What sleeps?", **asked), served.searcher.search("What sleeps?", **asked)
        assert without_times(there) == without_times(here)
        assert type(there.hits[0].headings) is tuple
        assert client.get("pets/cats.md") == served.searcher.get("pets/cats.md") == PETS[0]
        new = Document("a/b c.md", "Fish swim.", "Fish", {"legs": 0}, "text/markdown", 5.0)
        report = client.ingest([new, PETS[0]])
        assert (report.added, report.unchanged, report.rejections) == (1, 1, ())
        assert client.get("a/b c.md") == new
        assert client.update({"legs": 1}, ids=["a/b c.md"]).changed == 1
        assert (client.count(), client.count(FOUR)) == (4, 2)
        assert client.delete(filter=FOUR, dry_run=True) == 2
        assert client.delete(ids=["a/b c.md"]) == 1
        scores = client.rerank("What sleeps?", ["Birds sing.", "Cats sleep."])
        assert 0 < scores[0] < scores[1] < 1
        ranked = served.searcher.rerank("What sleeps?", ["Birds sing.", "Cats sleep."])
        assert [(one.index, one.probability) for one in ranked.results] == [(1, scores[1]), (0, scores[0])]
        reranker = served.searcher.reranker
        assert reranker
        raw = reranker.score("What sleeps?", ["Birds sing.", "Cats sleep."]).scores
        assert client.rerank("What sleeps?", ["Birds sing.", "Cats sleep."], raw=True) == pytest.approx(list(raw), abs=1e-3)
        assert scores.warnings == ()
        cut = client.rerank("What sleeps? " * 300, ["Birds sing.", "Cats sleep. " * 300]).warnings
        assert cut == ("the query is longer than what the reranker reads of it", "1 of 2 texts was longer than the model's window")
        assert client.rerank("ꯀꯁꯂ ꯃꯄ", ["Cats sleep.", "ꯀꯁꯂ"]).warnings == (
            "the reranker knows no word of the query, so its scores say little",
        )
        strange = "1 of 2 texts holds no word that"
        assert client.rerank("cats", ["Cats sleep.", "ꯀꯁꯂ"]).warnings == (f"{strange} the reranker knows",)
        locally = served.searcher.rerank("cats", ["Cats sleep.", "ꯀꯁꯂ"]).warnings
        assert locally == (f"{strange} minilm-reranker knows, so it has no probability",)
        first, second = client.search_many(["What sings?", " "])
        assert without_times(first) == without_times(served.searcher.search("What sings?"))
        assert isinstance(second, InvalidQuery)


def test_errors_are_the_librarys(served: Served) -> None:
    with Client(served.url) as client, Client(served.url, collection="none") as other:
        with pytest.raises(InvalidQuery, match="the query is empty"):
            client.search(" ")
        with pytest.raises(UnsupportedFilter):
            client.search("x", filter={"must": [{"key": "price"}]})
        with pytest.raises(CollectionNotFound, match="there is no such collection"):
            other.search("x")
        with pytest.raises(CollectionNotFound):
            other.get("x")
        for one in (client, served.searcher):
            with pytest.raises(DocumentNotFound, match="there is no document 'nobody'"):
                one.get("nobody")
        slowed(served, 0, "raises")
        assert client.search("x").rerank_status == "failed"
    with Client("http://127.0.0.1:1") as nobody, pytest.raises(ServiceUnreachable, match="is `search serve` running there"):
        nobody.search("x")


FOUR_WRITTEN = '{"must": [{"key": "metadata.legs", "match": {"value": 4}}]}'
FOUR_MODEL = models.Filter(must=[models.FieldCondition(key="metadata.legs", match=models.MatchValue(value=4))])


def nested(levels: int) -> dict[str, Any]:
    return {"must": [nested(levels - 1) if levels else FOUR["must"][0]]}


def calling(method: str, *given: Any, **named: Any) -> Callable[[Any], Any]:
    return lambda it: getattr(it, method)(*given, **named)


WRONG: dict[str, tuple[Any, ...]] = {  # options of a search
    "limit": (0, -1, "3", 1.0, True, 10**30),
    "depth": (0, 20.0),
    "min_score": (2, math.nan, "0.5"),
    "budget_ms": (0, -1, math.inf),
    "retrieval": ("x", 5),
    "group_by": ("x", ["document"]),
    "lexical_share": (3,),
    "rerank": (1, None, "no"),
    "filter": ([], "", "{", 5, {"must": {1, 2}}, {"must": {1: 2}}, nested(25)),
    "limt": (1,),
    "explain": (True,),
}
NOTHING_SET: list[Any] = [{}, [1], None, "x", {"a": 2**70}, {"a": np.int64(1)}, {"a": math.nan}]
REFUSED: dict[str, Callable[[Any], Any]] = {
    **{f"search({name}={one!r})": calling("search", "cats", **{name: one}) for name, several in WRONG.items() for one in several},
    **{f"search({query!r})": calling("search", query) for query in (5, None, "", "\ud800")},
    "search(limit=5, depth=3)": calling("search", "cats", limit=5, depth=3),
    "count(deep)": calling("count", nested(25)),
    "count('')": calling("count", ""),
    **{f"update({metadata!r})": calling("update", metadata, ids=["dogs"]) for metadata in NOTHING_SET},
    "update(dry_run='no')": calling("update", {"a": 1}, ids=["dogs"], dry_run="no"),
    "update(filter=[])": calling("update", {"a": 1}, filter=[]),
    "update()": calling("update", {"a": 1}),
    "ingest(dry_run='no')": calling("ingest", PETS, dry_run="no"),
    "ingest(None)": calling("ingest", None),
    "delete()": calling("delete"),
    "delete(ids=[1])": calling("delete", ids=[1]),
    "delete(filter={})": calling("delete", filter={}),
    **{f"delete(ids={ids}, filter)": calling("delete", ids=ids, filter=FOUR, dry_run=True) for ids in (["dogs"], [""])},
    "update(ids, filter)": calling("update", {"a": 1}, ids=["dogs"], filter=FOUR, dry_run=True),
    "delete(dry_run=1)": calling("delete", ids=["nobody"], dry_run=1),
    "rerank('')": calling("rerank", "", ["a"]),
    "rerank([])": calling("rerank", "cats", []),
    "rerank(5)": calling("rerank", 5, ["a"]),
    "rerank([1])": calling("rerank", "cats", [1]),
    "get('')": calling("get", ""),
    "get(3)": calling("get", 3),
}


def test_what_the_library_refuses_the_client_refuses_with_the_same_error(served: Served) -> None:
    with Client(served.url) as client:
        for name, call in REFUSED.items():
            with pytest.raises((InvalidInput, TypeError)) as here:
                call(served.searcher)
            with pytest.raises((InvalidInput, TypeError)) as there:
                call(client)
            assert there.type is here.type, name
        with pytest.raises(InvalidQuery, match="raw is a str"):
            client.rerank("cats", ["a"], raw="no")  # type: ignore[arg-type]
        for wrong in (["cats", 5], "cats"):
            with pytest.raises(InvalidQuery):
                client.search_many(wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidQuery, match="limit is 0"):
            client.search_many(["cats"], limit=0)
        with pytest.raises(InvalidQuery, match="100000 characters"):  # a limit of the service alone
            client.search("word " * 24_000)


FILTERS: dict[str, Any] = {
    "written": FOUR_WRITTEN,
    "a model": FOUR_MODEL,
    "no dict": MappingProxyType(FOUR),
    "one condition": {"must": FOUR["must"][0]},
}
NUMBERS = {"limit": np.int64(2), "depth": np.int32(3), "budget_ms": np.float32(60_000), "min_score": np.float64(0)}
TAKEN: dict[str, Callable[[Any], Any]] = {
    "ingest([])": calling("ingest", [], dry_run=True),
    "delete(ids=[''])": calling("delete", ids=[""]),
    "facets()": calling("facets"),
    "delete(ids=['', 'dogs'])": calling("delete", ids=["", "dogs"], dry_run=True),
    "search({})": calling("search", "What sleeps?", filter={}),
    **{f"search({name})": calling("search", "What sleeps?", filter=filter_) for name, filter_ in FILTERS.items()},
    **{f"count({name})": calling("count", filter_) for name, filter_ in FILTERS.items()},
    **{f"delete({name})": calling("delete", filter=filter_, dry_run=True) for name, filter_ in FILTERS.items()},
    **{f"update({name})": calling("update", {"a": 1}, filter=filter_, dry_run=True) for name, filter_ in FILTERS.items()},
    "update(no dict)": calling("update", MappingProxyType({"a": MappingProxyType({"b": 1})}), ids=["dogs"], dry_run=True),
    "search(numbers of numpy)": calling("search", "cats", **NUMBERS),
}


def test_what_the_library_takes_the_client_takes(served: Served) -> None:
    with Client(served.url) as client:
        for name, call in TAKEN.items():
            assert without_times(call(client)) == without_times(call(served.searcher)), name
        assert client.search_many([]) == []


def test_names_that_are_no_strings_stay_what_they_are(served: Served) -> None:
    """JSON would make strings of them."""
    wrong: Any
    with Client(served.url) as client:
        for wrong in ({1: 1}, {None: 1}, {"x": {True: 1}}, {"x": [{1.5: 1}]}, {"x": MappingProxyType({1: 1})}):
            with pytest.raises(InvalidQuery, match="keys must be strings"):
                served.searcher.update(wrong, ids=["dogs"])
            with pytest.raises(InvalidQuery, match=r"cannot be sent as JSON \(metadata.* has a name that is no string"):
                client.update(wrong, ids=["dogs"])
        around: dict[str, Any] = {}
        around["x"] = around
        with pytest.raises(InvalidQuery, match="cannot be sent as JSON"):
            client.update(around, ids=["dogs"])
        assert client.get("dogs").metadata == PETS[2].metadata


def test_a_filter_that_nothing_passes_is_told_of_wherever_it_chooses_documents(served: Served) -> None:
    none = "no document has the field 'metadata.leg' that the filter asks about"
    asked = {"must": [{"key": "metadata.leg", "match": {"value": 4}}]}
    text = {"must": [{"key": "metadata.legs", "match": {"value": "4"}}]}
    with Client(served.url) as client:
        for program in (client, served.searcher):
            for number in (program.count(asked), program.delete(filter=asked), program.delete(filter=asked, dry_run=True)):
                assert (number, number.warnings) == (0, (none,))
            assert program.update({"a": 1}, filter=asked).warnings == (none,)
            assert "write it without quotes" in program.update({"a": 1}, filter=text, dry_run=True).warnings[0]
            assert program.delete(ids=["nobody"]).warnings == program.count().warnings == program.count(FOUR).warnings == ()
            assert program.update({"a": 1}, filter=FOUR, dry_run=True).warnings == ()
    for command in (["delete"], ["update", '{"a": 1}']):
        for more in ([], ["--dry-run"]):
            done = search(*command, "--filter", json.dumps(asked), "--url", served.url, *more)
            assert done.stderr == f"note: {none}\n"


def test_overload_and_keys(settings: Settings) -> None:
    key, digest = new_key()
    with serving(settings, with_pets, queue_s=0.2, api_keys={"a": {"sha256": digest, "scopes": {"search"}}}) as served:
        with Client(served.url) as stranger, pytest.raises(ServiceRefused, match="a key is needed"):
            stranger.search("x")
        with Client(served.url, key=key) as client:
            assert client.search("x").hits
            with pytest.raises(ServiceRefused, match="it needs the scope write"):
                client.ingest(PETS)

        slowed(served, 2.0)

        async def crowd() -> list[Any]:
            async with AsyncClient(served.url, key=key) as client:
                return await asyncio.gather(*(client.search("x") for _ in range(4)), return_exceptions=True)

        outcomes = asyncio.run(crowd())
        refused = [one for one in outcomes if isinstance(one, ServiceOverloaded)]
        assert len(refused) == 3
        assert all(one.retry_after_s >= 1 for one in refused)


def test_with_await_it_is_the_same(served: Served) -> None:
    async def play() -> None:
        async with AsyncClient(served.url) as client:
            with Client(served.url) as other:
                assert without_times(await client.search("What sleeps?")) == without_times(other.search("What sleeps?"))
            assert (await client.ingest([Document("n", "New.")])).added == 1
            assert (await client.update({"a": 1}, ids=["n"])).changed == 1
            assert (await client.get("n")).metadata == {"a": 1}
            assert await client.count() == 4
            assert await client.delete(ids=["n"]) == 1
            assert len(await client.rerank("x", ["a", "b"])) == 2
            assert len(await client.search_many(["a", "b"])) == 2
            with pytest.raises(InvalidQuery):
                await client.search("")
        async with AsyncClient("http://127.0.0.1:1") as nobody:
            with pytest.raises(ServiceUnreachable):
                await nobody.search("x")

    asyncio.run(play())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_read_goes_in_whatever_cannot_be_read_and_however_many_there_are(
    kind: type[Client | AsyncClient], settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "broken.txt").write_bytes(b"\0")
    (tmp_path / "notes" / "cats.txt").write_text("Cats sleep.")
    others = [
        *(Document(str(number), "Dogs bark.") for number in range(70)),
        Document("0", "Again."),
        Document("x", "word " * 100),
    ]
    asked: list[int] = []

    def attempt(ask: Callable[[], Any]) -> Any:
        asked.append(1)
        return ask()

    def ingest(url: str, *, awaited: bool = False, **options: Any) -> IngestReport:
        items = itertools.chain(read(tmp_path / "notes"), others)

        async def drawn() -> AsyncIterator[Document | Rejection]:
            for number, item in enumerate(items):
                assert number < 70 or asked  # what fills a request is sent before more is drawn
                yield item

        async def play() -> IngestReport:
            async with AsyncClient(url) as client:
                return await client.ingest(drawn() if awaited else items, **options)

        if kind is AsyncClient:
            return asyncio.run(play())
        with Client(url) as client:
            return client.ingest(items, **options)

    progress: list[Progress] = []
    rejections: list[Rejection] = []
    with serving(settings, max_texts=50, max_characters=100) as served:
        assert ingest(served.url, dry_run=True).added == 71
        report = ingest(served.url, on_progress=progress.append, on_rejection=rejections.append, attempt=attempt)
        assert (report.added, report.rejected, report.chunks) == (71, 3, 71)
        assert [(one.source, one.document_id) for one in report.rejections] == [
            ("notes/broken.txt", "notes/broken.txt"),
            ("documents", "0"),
            ("documents", "x"),
        ]
        assert (tuple(rejections), progress[-1].documents) == (report.rejections, 74)
        assert len(asked) == 4  # a part of 64 is refused, and sent in halves
        assert ingest(served.url).unchanged == 71
        if kind is AsyncClient:
            asked.clear()
            awaited = ingest(served.url, awaited=True, attempt=attempt)
            assert (awaited.unchanged, awaited.rejections, len(asked)) == (71, report.rejections, 4)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_document_and_an_attempt_that_returns_nothing_are_told(kind: type[Client | AsyncClient], served: Served) -> None:
    def ingest(items: Any, **options: Any) -> None:
        async def play() -> None:
            async with AsyncClient(served.url) as client:
                await client.ingest(items, **options)

        if kind is AsyncClient:
            asyncio.run(play())
        else:
            with Client(served.url) as client:
                client.ingest(items, **options)

    async def drawn() -> AsyncIterator[str]:
        yield "cats"

    for items in (["cats"], *([drawn()] if kind is AsyncClient else [])):
        with pytest.raises(InvalidDocument, match=r"^documents\[0\] is a str; make it a Document"):
            ingest(items)
    with pytest.raises(SearchError, match=r"^attempt returned a NoneType, no report; let it return .* `return request\(\)`"):
        ingest(PETS, attempt=lambda request: None)  # noqa: ARG005


def test_an_id_that_was_not_taken_may_come_again(settings: Settings) -> None:
    """Whether the service rejected its document, or the request was too large for it."""
    for limits in ({"max_body_mb": 0.02}, {"max_characters": 100}):
        with serving(settings, **limits) as served, Client(served.url) as client:
            report = client.ingest([Document("a", "word " * 40_000), Document("a", "Short."), Document("a", "Twice.")])
            assert (report.added + report.unchanged, report.rejected) == (1, 2)
            assert client.get("a").text == "Short."


def test_both_clients_can_do_the_same() -> None:
    def methods(kind: type) -> dict[str, inspect.Signature]:
        return {name: inspect.signature(one) for name, one in vars(kind).items() if inspect.isfunction(one) and name[0] != "_"}

    awaited = methods(AsyncClient)
    documents = awaited["ingest"].parameters["documents"].replace(annotation=Iterable[Document | Rejection])
    awaited["ingest"] = awaited["ingest"].replace(parameters=[*({**awaited["ingest"].parameters, "documents": documents}).values()])
    assert methods(Client) == awaited
    assert issubclass(ServiceRefused, SearchError)


def test_options_of_a_search_are_those_of_the_library_also_for_type_checkers() -> None:
    """The project's own mypy run says so if the ignored lines below are no errors."""
    names = [field.name for field in dataclasses.fields(SearchOptions)]
    assert list(Choices.__annotations__) == names
    assert set(inspect.signature(Searcher.search).parameters) == {"self", "query", *names}
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(TypeError, match=r"a search has no option 'limt'; it has limit, depth, filter, .*, group_by$"):
            client.search("x", limt=3)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="'limt'"):
            client.search_many(["x"], limt=3)  # type: ignore[call-arg]
        with pytest.raises(InvalidQuery, match="limit is a str"):
            client.search("x", limit="three")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'limt'"):
        asyncio.run(AsyncClient("http://127.0.0.1:9").search("x", limt=3))  # type: ignore[call-arg]


def test_ids_that_look_like_paths(served: Served) -> None:
    ids = ["a/../b", "./c", "d//e", "f?g#h", "i%2Fj", "k l", "ü/ß", "m\nn", "o\r\np", "q\n", ".", "..", "...", "../.."]
    with Client(served.url) as client:
        client.ingest([Document(one, f"Text of {one}.") for one in ids])
        assert [client.get(one).text for one in ids] == [f"Text of {one}." for one in ids]
        client.delete(ids=[".", ".."])
        for nothing in (".", ".."):
            with pytest.raises(DocumentNotFound):
                client.get(nothing)


def test_a_password_in_the_url_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    unreachable = pytest.raises(ServiceUnreachable, match=r"the service at http://127\.0\.0\.1:9 does not answer")
    with caplog.at_level(logging.DEBUG), Client("http://user:hunter2@127.0.0.1:9") as client, unreachable as caught:
        client.search("x")
    assert "hunter2" not in f"{caught.value} {caplog.text}"
    with pytest.raises(InvalidSettings, match="the key for the service holds white space") as refused:
        Client("http://127.0.0.1:9", key="hunter2\n")
    assert "hunter2" not in str(refused.value)


def test_a_key_that_is_empty_is_none(served: Served) -> None:
    """As in the settings: a variable of the environment that is set to nothing."""

    async def count() -> int:
        async with AsyncClient(served.url, key="") as client:
            return await client.count()

    with Client(served.url, key="") as client:
        assert client.count() == asyncio.run(count()) == 3


def test_a_closed_client_says_so(served: Served) -> None:
    client, other = Client(served.url), AsyncClient(served.url)
    client.close()
    client.close()
    for call in (client.count, lambda: client.search("cats"), lambda: client.get("dogs")):
        with pytest.raises(SearchError, match="this client is closed; make another"):
            call()

    async def play() -> None:
        await other.close()
        await other.close()
        with pytest.raises(SearchError, match="this client is closed; make another"):
            await other.count()

    asyncio.run(play())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_event_loop_has_a_client_of_its_own(served: Served) -> None:
    client = AsyncClient(served.url)
    with asyncio.Runner() as runner:
        assert runner.run(client.count()) == 3
        with pytest.raises(SearchError, match="this client is of another event loop; make one in each"):
            asyncio.run(client.count())
        assert runner.run(client.count()) == 3
    asyncio.run(client.close())  # though its own loop has ended, and left a connection open
    with pytest.raises(SearchError, match="this client is closed; make another"):
        asyncio.run(client.count())
    del client
    gc.collect()


def test_a_fault_of_the_machine_is_not_taken_for_a_closed_client(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with Client(served.url) as client:
        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", fail)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            client.count()
