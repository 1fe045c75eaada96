"""What a program passes is checked: a wrong type gives an error that says which, and what to write instead."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import PETS

from search.client import AsyncClient, Client
from search.documents import half_surrogate
from search.errors import InvalidDocument, InvalidQuery, InvalidSettings
from search.factory import build_collections
from search.reading import read
from search.reranking.chat import ChatReranker
from search.searcher import Searcher, open_search
from search.settings import Settings

HALF = "caf\ud83d"


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    with open_search(Settings(data_dir=tmp_path_factory.mktemp("data"))) as one:
        one.ingest(PETS)
        yield one


SEARCHES: list[tuple[dict[str, Any], str]] = [
    ({"query": None}, "the query is a NoneType; give it as a string"),
    ({"query": 5}, "the query is a int"),
    ({"query": ["x"]}, "the query is a list"),
    ({"query": b"x"}, "the query is a bytes"),
    ({"query": HALF}, "half of a surrogate pair"),
    ({"limit": 2.5}, "limit is 2.5; give a whole number"),
    ({"limit": "5"}, "limit is a str; give a whole number"),
    ({"limit": True}, "limit is a bool; give a whole number"),
    ({"limit": math.nan}, "limit is nan; give a whole number"),
    ({"limit": 0}, "limit is 0"),
    ({"limit": 10**30}, "limit is more than 2,147,483,647"),
    ({"depth": 2**64}, "depth is more than 2,147,483,647"),
    ({"depth": 20.0}, "depth is 20; give a whole number"),
    ({"depth": "20"}, "depth is a str; give a whole number"),
    ({"depth": math.inf}, "depth is inf; give a whole number"),
    ({"budget_ms": "100"}, "budget_ms is a str; give a number"),
    ({"budget_ms": math.nan}, "budget_ms is nan; give a positive number"),
    ({"budget_ms": math.inf}, "budget_ms is inf; give a positive number"),
    ({"budget_ms": True}, "budget_ms is a bool; give a number"),
    ({"min_score": "0.5"}, "min_score is a str; give a number"),
    ({"min_score": math.nan}, "min_score is nan; it is a probability"),
    ({"min_score": False}, "min_score is a bool; give a number"),
    ({"rerank": "no"}, "rerank is a str; it can be True or False"),
    ({"group_by": ["document"]}, "group_by is "),
]


@pytest.mark.parametrize(("wrong", "message"), SEARCHES, ids=[str(wrong) for wrong, _ in SEARCHES])
def test_a_search(wrong: dict[str, Any], message: str, searcher: Searcher) -> None:
    with Client("http://127.0.0.1:9") as client:
        for source in (searcher, client):
            with pytest.raises(InvalidQuery, match=message):
                source.search(**{"query": "What sleeps?"} | wrong)


def test_numbers_of_numpy_are_numbers(searcher: Searcher) -> None:
    numbers: dict[str, Any] = {
        "limit": np.int64(2),
        "depth": np.int32(3),
        "budget_ms": np.float32(60_000),
        "min_score": np.float64(0),
    }
    assert len(searcher.search("What sleeps?", **numbers).hits) == 2
    assert len(searcher.search("What sleeps?", budget_ms=60_000, min_score=0).hits) == 3


CLIENTS: list[tuple[dict[str, Any], str]] = [
    *(
        ({"timeout_s": one}, "timeout_s is .*; give a number above 0")
        for one in ("x", None, math.nan, math.inf, 0, -1, True, 10**400)
    ),
    *(({"max_answer_mb": one}, "max_answer_mb is .*; give a number above 0") for one in ("x", None, math.nan, math.inf, 0, 1e300)),
    *(({"key": one}, "the key for the service is a .*; give it as a string") for one in (5, b"sk_1", ["sk_1"], 0)),
    *(({"tenant": one}, "no tenant is called") for one in (5, b"acme", ["acme"])),
]


@pytest.mark.parametrize(("wrong", "message"), CLIENTS, ids=[str(wrong)[:40] for wrong, _ in CLIENTS])
def test_a_client(wrong: dict[str, Any], message: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidSettings, match=message):
            kind("http://127.0.0.1:9", **wrong)


READINGS: list[tuple[dict[str, Any], type[Exception], str]] = [
    *(({"encoding": one}, InvalidDocument, "there is no encoding") for one in (5, b"utf-8", "a\0b")),
    *(({"fields": one}, InvalidDocument, "fields is a .*; give a mapping") for one in ("x", 5, ["text"])),
    ({"fields": {"text": 5}}, InvalidDocument, "the column for text is a int; name it as a string"),
    ({"fields": {5: "a", "x": "b"}}, InvalidDocument, "5 is no field"),
    *(({"exclude": one}, InvalidQuery, "exclude is a .*; give a list of patterns") for one in (5, None, "*.md", b"*.md")),
    ({"exclude": [5]}, InvalidQuery, "exclude holds a int; patterns are strings"),
    *(({"prefix": one}, InvalidQuery, "prefix is a .*; give a string") for one in (5, None)),
    ({"kind": 5}, InvalidQuery, "kind is a int; give a string"),
    ({"limits": 5}, InvalidQuery, "limits is a int; give Limits"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), READINGS, ids=[str(wrong) for wrong, _, _ in READINGS])
def test_a_reading(wrong: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Cats sleep.")
    with pytest.raises(kind, match=message):
        read(tmp_path, **wrong)


def test_what_is_neither_true_nor_false(searcher: Searcher, tmp_path: Path) -> None:
    """A word such as "no" would count as true, and a sync remove what nobody meant."""
    report = searcher.duplicates()
    calls: list[tuple[str, Callable[..., Any]]] = [
        ("sync", partial(searcher.ingest, PETS[:1], max_delete=1.0)),
        ("dry_run", partial(searcher.ingest, PETS[:1])),
        ("create", partial(searcher.ingest, PETS[:1])),
        ("dry_run", partial(searcher.delete, ids=["birds"])),
        ("dry_run", partial(searcher.update, {"a": 1}, ids=["birds"])),
        ("dry_run", partial(searcher.adopt, "theirs")),
        ("check", searcher.reindex),
        ("drop_unowned", searcher.reindex),
        ("rerank", searcher.duplicates),
        ("any_metadata", partial(searcher.remove_duplicates, report)),
        ("ignore_files", partial(read, tmp_path)),
        ("archives", partial(read, tmp_path)),
    ]
    for name, call in calls:
        with pytest.raises(InvalidQuery, match=f"{name} is a str; it can be True or False"):
            call(**{name: "no"})
    assert searcher.count() == 3
    assert all("a" not in searcher.get(pet.id).metadata for pet in PETS)


def test_values_of_other_kinds(searcher: Searcher) -> None:
    wrong: Any
    for wrong in (None, 5, ["a"]):
        for ask in (searcher.beside, searcher.knows, searcher.follow, searcher.let_go):
            with pytest.raises(InvalidSettings, match="a collection's name is a string, not a"):
                ask(wrong)
    for wrong in (None, 5):
        with pytest.raises(InvalidQuery, match="paths is a"):
            read(wrong)
        with pytest.raises(InvalidQuery, match="paths holds a"):
            read([wrong])
        with pytest.raises(InvalidQuery, match="give the report that `duplicates` made"):
            searcher.remove_duplicates(wrong)
        for collections in (searcher.collections, build_collections(Settings(index={"engine": "memory"}))):
            for names in ((wrong, "documents"), ("name", wrong)):
                with pytest.raises(InvalidQuery, match=r"names\[[01]\] is a"):
                    collections.switch(*names)
    with pytest.raises(InvalidSettings, match="settings is a int; give Settings"):
        searcher.reindex(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", [{"engine": "edge"}, {"engine": "edge", "own_process": True}, {"engine": "memory"}], ids=str)
def test_half_of_a_surrogate_pair_names_no_alias(engine: dict[str, Any], tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path, index=engine, reranker={"kind": "none"})) as searcher:
        searcher.ingest(PETS)
        with pytest.raises(InvalidQuery, match="half of a surrogate pair"):
            searcher.collections.switch(HALF, "documents")
        assert HALF not in searcher.collections.aliases()


IDS: list[tuple[Any, str]] = [
    ("birds", r"ids is a list of document ids; write \['birds'\]"),
    (b"birds", "ids is a list of document ids, not a bytes"),
    (5, "ids is a list of document ids, not a int"),
    (None, "ids is a list of document ids, not a NoneType"),
    ({"birds": 1}, "ids is a list of document ids, not a dict"),
    (["birds", 5], r"ids\[1\] is a int; document ids are strings"),
    ([None], r"ids\[0\] is a NoneType"),
    ([PETS[0]], r"ids\[0\] is a Document"),
    ([HALF], r"ids\[0\] holds half of a surrogate pair"),
]


@pytest.mark.parametrize(("ids", "message"), IDS, ids=[str(ids) for ids, _ in IDS])
def test_ids(ids: Any, message: str, searcher: Searcher) -> None:
    """One string in the place of a list would mean the documents "b", "i", "r" and so on."""
    with Client("http://127.0.0.1:9") as client:
        for source in (searcher, client):
            with pytest.raises(InvalidQuery, match=message):
                source.delete(ids=ids)
            with pytest.raises(InvalidQuery, match=message):
                source.update({"a": 1}, ids=ids)
    assert searcher.count() == 3


def test_several_queries_and_texts(searcher: Searcher) -> None:
    wrong: Any = "one string"
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(InvalidQuery, match=r"queries is a list of queries; write \['one string'\]"):
            client.search_many(wrong)
        with pytest.raises(InvalidQuery, match=r"texts is a list of texts; write \['one string'\]"):
            client.rerank("x", wrong)
    with pytest.raises(InvalidQuery, match="queries is a list of queries"):
        searcher.reindex(queries=wrong)


@pytest.mark.parametrize("value", [math.nan, HALF, {1, 2}, object()], ids=["NaN", "half", "set", "object"])
def test_what_json_cannot_hold_is_not_sent(value: Any) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(InvalidQuery, match="cannot be sent as JSON"):
        client.update({"title": [value]}, ids=["x"])


def test_texts_for_a_reranker(searcher: Searcher) -> None:
    reranker = searcher.reranker
    assert reranker
    wrong: list[tuple[Any, Any, str]] = [
        (HALF, ["a"], "half of a surrogate pair"),
        (None, ["a"], "is a NoneType"),
        ("x", ["a", HALF], r"texts\[1\] holds half of a surrogate pair"),
        ("x", [None], r"texts\[0\] is a NoneType"),
        ("x", "abc", r"texts is a list of texts; write \['abc'\]"),
    ]
    for one in (reranker, ChatReranker("http://127.0.0.1:9", "a-model")):
        for query, texts, message in wrong:
            with pytest.raises(InvalidQuery, match=message):
                one.score(query, texts)


def test_an_id_to_read() -> None:
    wrong: Any
    with Client("http://127.0.0.1:9") as client:
        for wrong in (HALF, 5, None):
            with pytest.raises(InvalidQuery, match="document_id"):
                client.get(wrong)


DOCUMENTS: list[tuple[Any, str]] = [
    ("Cats.", "documents is a list of Document, not a str"),
    (PETS[0], "documents is a list of Document, not a Document"),
    ({"id": "a", "text": "b"}, "documents is a list of Document, not a dict"),
    (5, "documents is a list of Document, not a int"),
    (None, "documents is a list of Document, not a NoneType"),
    ([{"id": "a", "text": "b"}], r"documents\[0\] is a dict; make it a Document"),
    ([PETS[0], "Cats."], r"documents\[1\] is a str; make it a Document"),
    ([None], r"documents\[0\] is a NoneType"),
]


@pytest.mark.parametrize(("documents", "message"), DOCUMENTS, ids=[str(given)[:40] for given, _ in DOCUMENTS])
def test_documents(documents: Any, message: str, searcher: Searcher) -> None:
    with pytest.raises(InvalidDocument, match=message):
        searcher.ingest(documents, dry_run=True)
    with pytest.raises(InvalidDocument, match=message):
        searcher.ingest(documents, sync=True)
    with Client("http://127.0.0.1:9") as client, pytest.raises(InvalidDocument, match=message):
        client.ingest(documents)
    assert searcher.count() == 3


def test_settings(tmp_path: Any) -> None:
    wrong: Any
    for wrong in ({"data_dir": tmp_path}, str(tmp_path), tmp_path):
        with pytest.raises(InvalidSettings, match=r"open_search\(Settings\("):
            open_search(wrong)


def test_where_half_of_a_surrogate_pair_stands() -> None:
    assert half_surrogate({"a": [{"b": "caf\U0001f600"}], "c": 1}) is None
    assert half_surrogate({"a": [1, {"b": HALF}]}) == "a[1].b"
    assert half_surrogate({"a": {HALF: 1}}) == "a"
    assert half_surrogate(HALF) == ""
    deep: Any = HALF
    for _ in range(20_000):
        deep = [deep]
    assert (half_surrogate(deep) or "").endswith("…")
