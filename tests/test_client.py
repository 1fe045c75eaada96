"""The client gives what the library gives, errors included, at once and with await."""

import asyncio
import dataclasses
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from serving import FOUR, PETS, Served, serving, slowed, with_pets

from search.api.keys import new_key
from search.client import AsyncClient, Client
from search.documents import Document
from search.errors import (
    CollectionNotFound,
    DocumentNotFound,
    InvalidQuery,
    InvalidSettings,
    SearchError,
    ServiceOverloaded,
    ServiceRefused,
    ServiceUnreachable,
    UnsupportedFilter,
)
from search.settings import Settings


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    with serving(settings, with_pets) as one:
        yield one


def without_times(result: Any) -> Any:
    return dataclasses.replace(result, timings_ms={})


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
        with pytest.raises(ServiceRefused, match="`texts` cannot be empty"):
            client.rerank("x", [])
        slowed(served, 0, "raises")
        assert client.search("x").rerank_status == "failed"
    with Client("http://127.0.0.1:1") as nobody, pytest.raises(ServiceUnreachable, match="is `search serve` running there"):
        nobody.search("x")


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


def test_both_clients_can_do_the_same() -> None:
    def methods(kind: type) -> dict[str, inspect.Signature]:
        return {name: inspect.signature(one) for name, one in vars(kind).items() if inspect.isfunction(one) and name[0] != "_"}

    assert methods(Client) == methods(AsyncClient)
    assert issubclass(ServiceRefused, SearchError)


def test_ids_that_look_like_paths(served: Served) -> None:
    ids = ["a/../b", "./c", "d//e", "f?g#h", "i%2Fj", "k l", "ü/ß", "m\nn", "o\r\np", "q\n"]
    with Client(served.url) as client:
        client.ingest([Document(one, f"Text of {one}.") for one in ids])
        assert [client.get(one).text for one in ids] == [f"Text of {one}." for one in ids]
        for nothing in (".", ".."):
            with pytest.raises(SearchError):
                client.get(nothing)


def test_a_password_in_the_url_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    unreachable = pytest.raises(ServiceUnreachable, match=r"the service at http://127\.0\.0\.1:9 does not answer")
    with caplog.at_level(logging.DEBUG), Client("http://user:hunter2@127.0.0.1:9") as client, unreachable as caught:
        client.search("x")
    assert "hunter2" not in f"{caught.value} {caplog.text}"
    with pytest.raises(InvalidSettings, match="the key for the service holds white space") as refused:
        Client("http://127.0.0.1:9", key="hunter2\n")
    assert "hunter2" not in str(refused.value)
