"""A data folder belongs to one process, whose searchers may know a collection by several names: one of them writes at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from search import Settings, open_search
from search.documents import Document
from search.errors import IndexBusy
from search.searcher import Searcher


@pytest.fixture(params=[False, True], ids=["edge", "edge process"])
def both(request: pytest.FixtureRequest, model_folder: Path, tmp_path: Path) -> Iterator[tuple[Searcher, Searcher]]:
    """A collection by its alias, and by its own name."""
    settings = Settings(
        data_dir=tmp_path / "data",
        index={"engine": "edge", "own_process": request.param},
        embedder={"model": str(model_folder / "embedder-mean")},
        reranker={"kind": "none"},
    )
    with open_search(settings) as searcher:
        searcher.ingest([Document("cats", "Cats sleep."), Document("dogs", "Dogs bark.")])
        searcher.reindex()
        yield searcher, searcher.beside(searcher.collections.aliases()["documents"])


def test_who_writes_a_collection_by_one_name_keeps_out_who_knows_it_by_another(both: tuple[Searcher, Searcher]) -> None:
    by_alias, by_name = both

    def meanwhile() -> Iterator[Document]:
        yield Document("owls", "Owls hunt.")
        with pytest.raises(IndexBusy, match="under another name"):
            by_name.delete(ids=["dogs"])
        with pytest.raises(IndexBusy, match="under another name"):
            by_name.ingest([Document("cats", "Cats purr.")])
        assert by_name.search("cats").hits  # which nobody is kept from

    assert by_alias.ingest(meanwhile()).added == 1
    assert {one: by_alias.get(one).text for one in ("cats", "dogs", "owls")} == {
        "cats": "Cats sleep.",
        "dogs": "Dogs bark.",
        "owls": "Owls hunt.",
    }
    by_name.delete(ids=["dogs"])  # nobody writes any more
    assert by_alias.count() == 2


def test_a_write_that_failed_keeps_nobody_out(both: tuple[Searcher, Searcher]) -> None:
    by_alias, by_name = both

    def broken() -> Iterator[Document]:
        yield Document("owls", "Owls hunt.")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        by_alias.ingest(broken())
    assert by_name.ingest([Document("owls", "Owls hunt.")]).rejected == 0
