"""Near-duplicates are removed by a report, under one claim, and nothing that changed since then is."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from standin import QdrantStandIn
from upstream import SERVERS, Serve, everywhere

from search.deduplication.finding import Progress
from search.deduplication.removing import Kept, planned
from search.deduplication.report import Cluster, Duplicate, Duplicates
from search.documents import Document
from search.errors import IndexBusy, IndexMismatch, InvalidQuery
from search.ingestion.restoring import documents, settled
from search.searcher import Searcher, open_search
from search.settings import Settings

CATS = (
    "Cats sleep for most of the day, wherever it is warm, and hunt mice in the barn at night. Nobody has taught them how they "
    "do it, and nobody could. In winter they move into the house and lie beside the stove until the snow has gone."
)
RULE = "The request was accepted by the office on the first floor, since all papers were complete and the fee had been paid."
YEAR = {"year": 2024, "tags": ["a"]}
DOCUMENTS = [
    Document("cats", CATS, metadata=YEAR, modified=1.0),
    Document("cats 2", f"{CATS}\r\n", metadata=YEAR),
    Document("cats 3", f"\n{CATS}", metadata=YEAR),
    Document("cats, loud", CATS.upper(), metadata=YEAR),
    Document("cats, wrapped", CATS.replace(". ", ".\n\n"), metadata=YEAR),
    Document("cats, edited", CATS.replace("most of", "much of").replace("has taught", "has ever taught"), metadata=YEAR),
    Document("cats, of 2025", CATS, metadata={"year": 2025, "tags": ["a"]}),
    Document("cats, titled", CATS, title="Cats", metadata=YEAR),
    Document("rule", RULE),
    Document("rule, turned", RULE.replace("accepted", "rejected")),
]


@pytest.fixture(params=["edge", *SERVERS])
def settings(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path) -> Settings:
    if request.param == "edge":
        return Settings(data_dir=tmp_path / "data")
    return Settings(data_dir=tmp_path, index=serve(request.param).index)


@pytest.fixture
def searcher(settings: Settings) -> Iterator[Searcher]:
    with open_search(settings) as opened:
        opened.ingest(DOCUMENTS)
        yield opened


def there(searcher: Searcher) -> set[str]:
    return {document.id for document in documents(searcher.opened()) if isinstance(document, Document)}


def _reasons(kept: Sequence[Kept]) -> dict[str, str]:
    return {one.document_id: one.reason for one in kept}


ALL = {document.id for document in DOCUMENTS}


def test_copies_go_and_whatever_tells_a_document_apart_stays(searcher: Searcher) -> None:
    found = searcher.duplicates()
    done = searcher.remove_duplicates(found)
    assert done.removed == (("cats 2", "cats"), ("cats 3", "cats"))
    assert there(searcher) == ALL - {"cats 2", "cats 3"}
    reasons = _reasons(done.kept)
    assert found.clusters[0].representative.id == "cats, edited"  # the longest; copies of another text are copies all the same
    assert reasons["cats"].startswith("its text differs in words or signs (probability")
    assert reasons["cats, loud"].startswith("its text differs in")
    assert "rule, turned" not in reasons  # nor reported


@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown", "text/x-python", "application/json"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("if ok:\n    pay()\nlog()", "if ok:\n    pay()\n    log()"),
        ("all:\n\tmake it", "all:\n    make it"),
        ("a\t\tb", "a\tb"),
        ("- one\n- two", "- one\n  - two"),
        ("one  \ntwo", "one\ntwo"),
        ("rm a \\\nb", "rm a \\ \nb"),
        ('"""a\n\nb"""', '"""a\nb"""'),
        ("# a\x0cdel y", "# a\ndel y"),
        ("10\xa0000", "10 000"),
    ],
)
def test_white_space_within_a_text_tells_it_apart(one: str, other: str, media_type: str) -> None:
    entries = [Document(name, text, media_type=media_type) for name, text in (("a", one), ("b", other), ("c", f"{one}\r\n"))]
    cluster = Cluster(entries[0], tuple(Duplicate(entry, "identical", 1.0, {}) for entry in entries[1:]))
    done = planned(Duplicates("documents", (cluster,), 3, 3, 2, 0.9, "signs"))
    assert done.removed == (("c", "a"),)
    assert _reasons(done.kept) == {"b": "its text differs in white space"}


def test_contracts_with_other_terms_stay(searcher: Searcher) -> None:
    """However many words are others, and whatever stands before them."""
    terms = "The tenant pays by the {} day of each month and keeps the {} clean. The contract ends after {} years, without notice."
    some = [("third", "stairs", "two"), ("third", "stairs", "five"), ("tenth", "stairs", "five"), ("tenth", "cellar", "five")]
    contracts = [Document(f"contract {at}", terms.format(*words)) for at, words in enumerate(some)]
    contracts += [Document(f"{one.id}, headed", f"# Terms\n\n{one.text}") for one in contracts[1:]]
    searcher.ingest(contracts)
    done = searcher.remove_duplicates(searcher.duplicates(), near=0.99, any_metadata=True)
    assert {
        pair for pair in done.removed if "contract" in pair[0] and pair[0].partition(",")[0] != pair[1].partition(",")[0]
    } == set()
    assert {"contract 0", *(f"contract {at}, headed" for at in (1, 2, 3))} <= there(searcher)


def test_near_ones_and_other_metadata_go_where_that_is_said(searcher: Searcher) -> None:
    found = searcher.duplicates()
    done = searcher.remove_duplicates(found, near=0.9)
    assert {"cats, loud", "cats, wrapped", "cats", "cats 2", "cats 3"} == set(dict(done.removed))
    assert _reasons(done.kept)["cats, of 2025"] == "it differs in metadata.year"
    done = searcher.remove_duplicates(searcher.duplicates(), near=0.9, any_metadata=True)
    assert "cats, of 2025" in dict(done.removed)
    assert {"cats, edited", "rule", "rule, turned"} <= there(searcher)


def test_a_second_removal_finds_nothing(settings: Settings) -> None:
    """Whatever the titles of one text are."""
    with open_search(settings) as searcher:
        searcher.ingest([Document(f"{at:02}", CATS, f"Title {at}") for at in range(40)])
        kept = planned(searcher.duplicates()).kept
        assert kept == tuple(Kept(f"{at:02}", "it differs in title", fields=("title",)) for at in range(1, 40))
        done = searcher.remove_duplicates(searcher.duplicates(), any_metadata=True)
        assert (len(done.removed), done.kept) == (39, ())
        assert there(searcher) == {"00"}
        assert searcher.duplicates().clusters == ()


def test_reasons_name_what_would_be_lost(searcher: Searcher) -> None:
    searcher.delete(ids=["cats, edited"])
    reasons = _reasons(planned(searcher.duplicates()).kept)
    assert reasons["cats, loud"] == "its text differs in case"
    assert reasons["cats, wrapped"] == "its text differs in white space"
    assert reasons["cats, of 2025"] == "it differs in metadata.year"
    lost = _reasons(planned(searcher.duplicates(), near=0.9).kept)
    assert lost == {"cats, of 2025": "it differs in metadata.year", "cats, titled": "it differs in title"}


def test_reasons_are_those_that_tell_a_document_from_the_one_that_is_most_like_it() -> None:
    """Of all that stay, not only from the representative, and whatever the probability is."""
    python = "text/x-python"
    function = "def f(x):\n    return x\n"
    code = [
        Document("b1", function, media_type=python),
        Document("b2", function.replace("    ", "  "), media_type=python),
        Document("b3", function, media_type="text/plain"),
        Document("b4", function.upper(), media_type=python),
    ]
    texts = [
        Document("whole", f"{CATS} It was fine."),
        Document("a1", CATS),
        Document("a2", CATS, metadata={"year": 1}),
        Document("a3", CATS, metadata={"year": True, "tag": ""}, title="Cats"),
        Document("a4", CATS.upper()),
        Document("a5", CATS.upper().replace(". ", ".\n")),
        Document("a6", CATS.lower().replace(". ", ".\n\n")),
        Document("a7", CATS.replace("warm", "cold")),
        Document("a8", CATS),
    ]
    clusters = [
        Cluster(entries[0], tuple(Duplicate(entry, "near", 0.95, {}) for entry in entries[1:])) for entries in (code, texts)
    ]
    found = Duplicates("documents", tuple(clusters), 13, 13, 9, 0.9, "signs")
    done = planned(found)
    assert done.removed == (("a8", "a1"),)
    assert _reasons(done.kept) == {
        "b2": "its text differs in white space",
        "b3": "it differs in media_type",
        "b4": "its text differs in case",
        "a1": "its text differs in words or signs (probability 0.950)",
        "a2": "it differs in metadata.year (from a1)",
        "a3": "it differs in title, metadata.tag, metadata.year (from a1)",
        "a4": "its text differs in case (from a1)",
        "a5": "its text differs in white space (from a4)",
        "a6": "its text differs in white space and case (from a1)",
        "a7": "its text differs in words or signs (probability 0.950)",
    }
    assert {one.document_id for one in planned(found, any_metadata=True).removed} == {"b3", "a2", "a3", "a8"}


@pytest.mark.parametrize("near", [0, 1.5, "0.9", True, float("nan"), 0.5])
def test_probabilities_that_make_no_sense_remove_nothing(searcher: Searcher, near: Any) -> None:
    with pytest.raises(InvalidQuery, match="near is"):
        searcher.remove_duplicates(searcher.duplicates(), near=near)
    assert there(searcher) == ALL


@pytest.mark.parametrize(
    "change",
    [
        Document("cats 2", CATS.replace("warm", "cold"), metadata=YEAR),
        Document("cats 2", f"{CATS}\r\n", metadata={**YEAR, "year": 1999}),
        Document("cats 2", f"{CATS}\r\n", title="Other", metadata=YEAR),
        Document("cats 2", f"{CATS}\r\n", metadata=YEAR, media_type="text/markdown"),
    ],
)
def test_what_changed_since_the_report_stays(settings: Settings, change: Document) -> None:
    with open_search(settings) as searcher:
        searcher.ingest(DOCUMENTS)
        found = searcher.duplicates()
        searcher.ingest([change])
        done = searcher.remove_duplicates(found)
        assert _reasons(done.kept)["cats 2"] == "it has changed, or is gone"
        assert done.removed == (("cats 3", "cats"),)
        assert searcher.get("cats 2") == change


@pytest.mark.parametrize("gone", [True, False])
def test_copies_of_what_changed_or_is_gone_stay(searcher: Searcher, gone: bool) -> None:  # noqa: FBT001  # a case
    found = searcher.duplicates()
    if gone:
        searcher.delete(ids=["cats"])
    else:
        searcher.ingest([Document("cats", "It says something else by now.")])
    done = searcher.remove_duplicates(found)
    assert done.removed == ()
    assert _reasons(done.kept)["cats 2"] == "what stays for it has changed, or is gone (cats)"
    assert there(searcher) == ALL - ({"cats"} if gone else set())


@everywhere
def test_nobody_else_writes_between_the_comparison_and_the_removal(
    standin: QdrantStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that comes in between is refused, not lost with the document that it was made to."""
    settings = Settings(data_dir=tmp_path, index=standin.index)
    refused: list[str] = []
    compare = settled

    def compared_slowly(*arguments: Any) -> Iterator[Any]:
        yield from list(compare(*arguments))
        with open_search(settings) as other, pytest.raises(IndexBusy) as error:
            other.ingest([Document("cats 2", "A change that must not be lost.")])
        refused.append(str(error.value))

    with open_search(settings) as searcher:
        searcher.ingest(DOCUMENTS)
        found = searcher.duplicates()
        monkeypatch.setattr("search.deduplication.removing.settled", compared_slowly)
        assert set(dict(searcher.remove_duplicates(found).removed)) == {"cats 2", "cats 3"}
    assert len(refused) == 1


def test_a_document_of_which_a_newer_version_is_half_written_stays(searcher: Searcher) -> None:
    """What an ingestion that was killed has left of it would go, too."""
    found = searcher.duplicates()
    index = searcher.opened()
    record = next(iter(index.scroll({"must": [{"key": "document_id", "match": {"value": "cats 2"}}]}, vectors=True)))
    newer = {**record.payload, "revision": "0" * 32, "generation": 9, "chunks": 2}
    from search.index.contract import Point

    assert record.vector is not None
    index.upsert([Point("00000000-0000-4000-8000-000000000001", record.vector, newer, record.lexical)])
    done = searcher.remove_duplicates(found)
    assert done.removed == (("cats 3", "cats"),)
    assert index.count({"must": [{"key": "document_id", "match": {"value": "cats 2"}}]}) == 2


def test_an_alias_that_was_switched_meanwhile_removes_nothing(settings: Settings) -> None:
    """Neither from what it led to nor from what it leads to, which holds the same documents."""
    for name in ("one", "two"):
        with open_search(settings.model_copy(update={"collection": name})) as filling:
            filling.ingest(DOCUMENTS)
    with open_search(settings.model_copy(update={"collection": "live"})) as searcher:
        collections = searcher.collections
        targets = [collections.info(name).name for name in ("one", "two")]
        collections.switch("live", targets[0])
        found = searcher.duplicates()
        assert found.target == targets[0]
        collections.switch("live", targets[1])
        with pytest.raises(IndexMismatch, match="leads to another collection than when it was compared"):
            searcher.remove_duplicates(found)
        for name in ("one", "two"):
            assert there(searcher.beside(name)) == ALL


def test_a_report_of_something_else_removes_nothing(searcher: Searcher) -> None:
    from dataclasses import replace

    from search.deduplication.removing import Removal, Removed, remove_duplicates

    found = searcher.duplicates()
    with pytest.raises(IndexMismatch):
        searcher.remove_duplicates(replace(found, target="other"))
    for going, instead in (("cats, edited", "cats"), ("rule", "cats"), ("cats 2", "nobody"), ("cats", "cats")):
        plan = Removal((Removed(going, instead),), ())
        with pytest.raises(InvalidQuery, match="is no duplicate by this report"):
            remove_duplicates(searcher.opened(), searcher.embedder, found, plan, leads_to=lambda: found.target)
    assert there(searcher) == ALL


KILLED = """
import os, signal, sys
from pathlib import Path
from search.deduplication import removing
from search.searcher import open_search
from search.settings import Settings

removing.AT_ONCE = 8

def die(progress):
    if progress.step == "removing documents" and progress.done >= 16:
        os.kill(os.getpid(), signal.SIGKILL)

with open_search(Settings.model_validate_json(sys.argv[1])) as searcher:
    searcher.remove_duplicates(searcher.duplicates(threshold=1), on_progress=die)
"""


@pytest.mark.usefixtures("brief_lease")
def test_a_removal_that_is_killed_goes_on_from_there(settings: Settings) -> None:
    texts = {f"text {at}": f"Text number {at} is about the letter {chr(97 + at)} and nothing else." for at in range(10)}
    copies = [Document(f"{name}, copy {at}", text + "\n" * at) for name, text in texts.items() for at in range(1, 5)]
    with open_search(settings) as searcher:
        searcher.ingest([*(Document(name, text) for name, text in texts.items()), *copies])
    done = subprocess.run([sys.executable, "-c", KILLED, settings.model_dump_json()], check=False, env=os.environ.copy())
    assert done.returncode == -signal.SIGKILL
    with open_search(settings) as searcher:
        left = there(searcher)
        assert set(texts) <= left
        assert len(left) == 50 - 16
        steps: list[Progress] = []
        rest = searcher.remove_duplicates(searcher.duplicates(threshold=1), on_progress=steps.append)
        assert len(rest.removed) == 24
        assert steps[-1] == Progress("removing documents", 24, 24)
        assert there(searcher) == set(texts)


def test_a_plan_alone_touches_nothing_and_tells_true_from_1(settings: Settings) -> None:
    with open_search(settings) as searcher:
        searcher.ingest([Document("a", CATS, metadata={"paid": True}), Document("b", CATS, metadata={"paid": 1})])
        plan = planned(searcher.duplicates())
        assert (plan.removed, plan.kept) == ((), (Kept("b", "it differs in metadata.paid", fields=("metadata.paid",)),))
        assert there(searcher) == {"a", "b"}


def test_of_a_shared_collection_only_the_tenants_own_copies_go(settings: Settings) -> None:
    """Documents of two tenants may have one id, and one text."""
    with open_search(settings.model_copy(update={"tenant_field": "metadata.customer"})) as shared:
        ours, others = shared.of_tenant("ours"), shared.of_tenant("others")
        for tenant in (ours, others):
            tenant.ingest([Document("a", CATS), Document("b", f"{CATS}\n")])
        found = ours.duplicates()
        assert ours.remove_duplicates(found).removed == (("b", "a"),)
        assert (there(ours), there(others)) == ({"a"}, {"a", "b"})
        kept = others.remove_duplicates(found).kept  # a report of somebody else's documents
        assert _reasons(kept) == {"b": "what stays for it has changed, or is gone (a)"}
        assert there(others) == {"a", "b"}
