"""What may a program do with a searcher that is at work? In callbacks, in other threads, and once something of it is closed."""

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from serving import PETS
from standin import QdrantStandIn

from search.documents import Document, Rejection
from search.errors import CollectionNotFound, IndexBusy, IndexFailure, InvalidQuery, InvalidSettings, SearchError
from search.searcher import Searcher, open_search
from search.settings import Settings

OWN_WRITE = "collect what is to be changed, and change it when that is through"
CLOSED = "this searcher is closed; open another"
MANY = [Document(f"d{number}", f"Document number {number} sleeps.") for number in range(300)]
MORE = [Document(f"e{number}", f"Another one, number {number}, sleeps.") for number in range(600)]
ENGINES: Mapping[str, dict[str, Any]] = {
    "memory": {"engine": "memory"},
    "edge": {"engine": "edge"},
    "edge process": {"engine": "edge", "own_process": True},
}
Write = Callable[[Searcher], Any]
WRITES: dict[str, Write] = {
    "ingest": lambda searcher: searcher.ingest(PETS),
    "dry run": lambda searcher: searcher.ingest(PETS, dry_run=True),
    "delete": lambda searcher: searcher.delete(ids=["nope"]),
    "update": lambda searcher: searcher.update({"k": 1}, ids=["birds"]),
    "reindex": lambda searcher: searcher.reindex(check=False),
    "adopt": lambda searcher: searcher.adopt("theirs"),
    "roll back": lambda searcher: searcher.roll_back(),
    "remove duplicates": lambda searcher: searcher.remove_duplicates(searcher.duplicates()),
}


def settings_of(model_folder: Path, folder: Path, index: Mapping[str, Any], **more: Any) -> Settings:
    models: dict[str, Any] = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    return Settings(data_dir=folder, index=index, ingestion={"patience_s": 5}, **models, **more)


@pytest.fixture(params=[*ENGINES, "standin"])
def settings(request: pytest.FixtureRequest, model_folder: Path, tmp_path: Path) -> Settings:
    index = ENGINES.get(request.param) or request.getfixturevalue("standin").index
    return settings_of(model_folder, tmp_path / "data", index)


@pytest.fixture
def searcher(model_folder: Path, tmp_path: Path) -> Iterator[Searcher]:
    with open_search(settings_of(model_folder, tmp_path / "data", ENGINES["memory"])) as one:
        one.ingest(PETS)
        yield one


def after(write: Callable[[], object], documents: Iterable[Document]) -> Iterator[Document]:
    """Documents that are read behind something else."""
    write()
    yield from documents


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_from_within_a_write_is_an_error(write: Write, searcher: Searcher) -> None:
    more = [Document("more", "One more sleeps.")]
    with pytest.raises(SearchError, match=OWN_WRITE):
        searcher.ingest(after(lambda: write(searcher), more))
    with pytest.raises(SearchError, match=OWN_WRITE):
        searcher.ingest(more, on_change=lambda *_: write(searcher))
    assert searcher.ingest([Document("last", "The last one sleeps.")]).added == 1
    others = threading.Thread(target=lambda: searcher.delete(ids=["last"]))
    others.start()
    others.join()
    with pytest.raises(SearchError):
        searcher.get("last")


def test_every_callback_of_a_write_is_of_it(searcher: Searcher) -> None:
    def write(*_: object) -> None:
        searcher.delete(ids=["birds"])

    refused = Rejection("documents", None, "x", "it is refused")
    calls: list[Callable[[], object]] = [
        lambda: searcher.ingest(PETS, on_progress=write),
        lambda: searcher.ingest([refused], on_rejection=write),
        lambda: searcher.delete(ids=["birds"], dry_run=True, on_change=write),
        lambda: searcher.update({"k": 1}, ids=["birds"], dry_run=True, on_change=write),
        lambda: searcher.reindex(check=False, on_progress=write),
    ]
    for call in calls:
        with pytest.raises(SearchError, match=OWN_WRITE):
            call()
    assert searcher.get("birds").metadata["legs"] == 2


def test_a_callback_in_the_thread_that_writes_is_of_it(model_folder: Path, standin: QdrantStandIn, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    with open_search(settings_of(model_folder, tmp_path, standin.index)) as searcher:
        searcher.ingest(PETS)

        def refuse() -> None:
            standin.refusals = {"PUT */points": (503, "planted")}

        def on_wait(*_: object) -> None:
            standin.refusals = {}
            try:
                searcher.delete(ids=["birds"])
            except SearchError as error:
                told.append((threading.current_thread().name, str(error)))

        assert searcher.ingest(after(refuse, [Document("more", "More.")]), on_wait=on_wait).added == 1
        assert [(name.rpartition("_")[0], OWN_WRITE in message) for name, message in told] == [("ingestion-writing", True)]
        assert searcher.delete(ids=["birds", "more"]) == 2


def test_what_is_no_write_to_the_same_collection_goes_on_within_one(settings: Settings) -> None:
    with open_search(settings) as searcher:
        searcher.ingest(PETS)
        journal = searcher.beside("journal")

        def note(state: str, document_id: str) -> None:
            journal.ingest([Document(document_id, f"{state}, of {searcher.count()}")])
            assert searcher.search("sleep", limit=1).hits

        more = [Document(f"more{number}", f"More of them: {number}.") for number in range(3)]
        assert searcher.ingest(after(lambda: searcher.get("birds"), more), on_change=note).added == 3
        assert journal.count() == 3


def test_a_collection_beside_that_was_closed_is_opened_anew(settings: Settings) -> None:
    with open_search(settings) as searcher:
        with searcher.beside("manuals") as manuals:
            manuals.ingest(PETS)
        with pytest.raises(SearchError, match=CLOSED):
            manuals.count()
        again = searcher.beside("manuals")
        assert again.count() == len(PETS)
        assert again.search("birds", limit=1).hits
        assert searcher.beside("manuals") is again
        assert again.embedder is searcher.embedder
    for closed in (again, searcher.beside("manuals"), searcher.beside("new")):
        with pytest.raises(SearchError, match=CLOSED):
            closed.count()


def close_in(searcher: Searcher) -> Callable[..., None]:
    """A callback in which another thread closes it."""

    def close(*_: object) -> None:
        closing = threading.Thread(target=searcher.close)
        closing.start()
        closing.join()

    return close


def search_closed(searcher: Searcher) -> object:
    """A search in the midst of which it is closed."""
    embedder, close = searcher.embedder, close_in(searcher)

    class Closing:
        def __getattr__(self, name: str) -> Any:
            return getattr(embedder, name)

        def embed_query(self, text: str) -> Any:
            close()
            return embedder.embed_query(text)

    kept = searcher._parts._parts
    kept.update({name: Closing() for name in kept if name.startswith("embedder")})
    return searcher.search("sleep")


INTERRUPTED: dict[str, Write] = {
    "search": search_closed,
    "duplicates": lambda searcher: searcher.duplicates(on_progress=close_in(searcher)),
    "first document": lambda searcher: searcher.ingest(after(close_in(searcher), MANY)),
    "documents": lambda searcher: searcher.ingest(chain(MANY, after(close_in(searcher), MORE))),
    "sync": lambda searcher: searcher.ingest(PETS, sync=True, max_delete=1.0, on_progress=close_in(searcher)),
    "beside": lambda searcher: searcher.beside("other").ingest(chain(MANY, after(close_in(searcher), MORE))),
}


@pytest.mark.parametrize("interrupted", INTERRUPTED.values(), ids=INTERRUPTED)
def test_what_is_at_work_when_it_is_closed_says_so(interrupted: Write, settings: Settings) -> None:
    searcher = open_search(settings)
    for one in (searcher, searcher.beside("other")):
        one.ingest(MANY)
    with pytest.raises(SearchError, match=CLOSED) as told:
        interrupted(searcher)
    assert not isinstance(told.value, IndexFailure)
    if settings.index.engine != "memory":
        with open_search(settings) as another:
            assert another.count() >= len(MANY)


def test_nothing_is_tried_again_once_it_is_closed(settings: Settings) -> None:
    waited: list[float] = []
    searcher = open_search(settings)
    searcher.ingest(PETS)
    with pytest.raises(SearchError, match=CLOSED):
        searcher.ingest(after(close_in(searcher), MANY), on_wait=lambda _, seconds: waited.append(seconds))
    assert waited == []


@pytest.mark.parametrize("engine", ["edge", "edge process"])
def test_what_is_opened_after_it_was_closed_is_closed_again(engine: str, model_folder: Path, tmp_path: Path) -> None:
    settings = settings_of(model_folder, tmp_path, ENGINES[engine])
    searcher = open_search(settings)
    with contextlib.suppress(SearchError):
        searcher.ingest(after(close_in(searcher), PETS))
    with open_search(settings) as another:
        another.ingest(PETS)
        assert another.count() == len(PETS)


def test_errors_of_a_collection_that_is_open_stay(settings: Settings) -> None:
    with open_search(settings) as searcher, pytest.raises(CollectionNotFound, match="`search ingest` makes one"):
        searcher.search("birds")


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("engine", ["edge", "edge process"])
def test_one_that_is_dropped_keeps_no_folder(engine: str, model_folder: Path, tmp_path: Path) -> None:
    """As a notebook's cell drops it that is run again."""
    for _ in range(2):
        searcher: Searcher | None = open_search(settings_of(model_folder, tmp_path, ENGINES[engine]))
        assert searcher is not None
        searcher.ingest(PETS)
        assert searcher.search("sleep", limit=1).hits
        assert searcher.count() == len(PETS)
        searcher = None


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("engine", ["edge", "edge process"])
def test_one_that_is_dropped_in_a_cycle_keeps_no_folder(engine: str, model_folder: Path, tmp_path: Path) -> None:
    settings = settings_of(model_folder, tmp_path, ENGINES[engine])
    cycle: list[Any] = [open_search(settings)]
    cycle.append(cycle)
    cycle[0].ingest(PETS)
    del cycle
    with open_search(settings) as another:
        assert another.count() == len(PETS)


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("engine", ["edge", "edge process"])
def test_one_that_an_error_of_a_notebook_keeps_frees_its_folder(
    engine: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"open_search": open_search, "settings": settings_of(model_folder, tmp_path, ENGINES[engine]), "PETS": PETS}
    cell = "searcher = open_search(settings)\nsearcher.ingest(PETS)\nsearcher.search('sleep', limit=0)"
    for _ in range(2):
        with pytest.raises(InvalidQuery) as told:
            exec(cell, names)  # noqa: S102  # as a notebook does
        monkeypatch.setattr(sys, "last_value", told.value, raising=False)
    searcher = names.pop("searcher")
    assert isinstance(searcher, Searcher)
    searcher.close()


def test_a_folder_of_another_searcher_of_this_program(model_folder: Path, tmp_path: Path) -> None:
    settings = settings_of(model_folder, tmp_path, ENGINES["edge"])
    with open_search(settings) as searcher:
        searcher.ingest(PETS)
        for other in (settings, settings.model_copy(update={"collection": "other"})):
            with pytest.raises(IndexBusy, match=r"in use by another searcher of this program: close that one, .*searcher\.beside"):
                open_search(other).ingest(PETS)
        assert searcher.count() == len(PETS)


@pytest.mark.parametrize("wrong", [{}, [], "", 0, False, "data"], ids=repr)
def test_what_is_opened_with_is_settings_or_nothing(wrong: Any) -> None:
    with pytest.raises(InvalidSettings, match=r"write open_search\(Settings"):
        open_search(wrong)
