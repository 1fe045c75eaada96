"""Whatever is sent, well-formed or not: an answer as described, and never a fault of the service."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import HealthCheck
from serving import Served, serving

from search.documents import Document
from search.searcher import Searcher
from search.settings import Settings

if TYPE_CHECKING:
    import schemathesis


def filled(searcher: Searcher) -> None:
    searcher.ingest([Document(id="a", text="Cats sleep.", metadata={"legs": 4}), Document(id="b", text="Birds sing.")])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(Settings(data_dir=tmp_path_factory.mktemp("data")), filled, queue_s=100) as one:
        yield one


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["positive", "negative"], ids=["well-formed", "ill-formed"])
def test_nothing_that_is_sent_breaks_it(served: Served, mode: str, in_full: bool) -> None:  # noqa: FBT001  # a fixture
    import schemathesis  # in the one process that needs it

    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    seen: set[str] = set()

    @hypothesis.settings(
        max_examples=3_000 if in_full else 150,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(case=schema.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def send(case: "schemathesis.Case[Any]") -> None:
        seen.add(case.operation.label)
        answer = case.call(base_url=served.url)
        assert answer.status_code < 500, (case.method, case.path, case.body, answer.text)
        assert answer.headers["x-request-id"]
        if answer.status_code >= 400:
            assert {"error", "message"} & set(answer.json()), answer.text

    send()
    assert len(seen) > 10
