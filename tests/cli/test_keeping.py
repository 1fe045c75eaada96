"""The commands for whoever runs collections."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import as_json, error, search, wrong
from judged import CORPUS, write
from standin import QdrantStandIn
from upstream import SERVERS, Serve, everywhere, in_one_shard

CATS = "# Cats\n\nCats sleep most of the day.\n"
DOGS = "# Dogs\n\nDogs bark at night.\n"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "cats.md").write_text(CATS)
    (folder / "dogs.md").write_text(DOGS)
    return folder


def test_a_data_folder_holds_what_the_page_says_and_is_copied_like_any_other(notes: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "collections.md").read_text()
    told = {
        name for line in page.splitlines() if line.startswith("| `") for name in re.findall(r"`([\w.]+)/?`", line.split("|")[1])
    }
    folder, copy = tmp_path / "data", tmp_path / "copy"
    write(tmp_path / "judged", CORPUS, [{"_id": "q1", "text": "cats"}], "q1\tcat\t1\n")
    here: dict[str, Any] = {"SEARCH_DATA_DIR": str(folder), "SEARCH_RERANKER__KIND": "none"}
    search("ingest", notes, **here)
    search("collections", "alias", "live", "documents", **here)
    search("collections", "snapshot", "documents", **here)
    search("evaluate", tmp_path / "judged", **here)
    held = {one.name for one in folder.iterdir()}
    assert {"collections", "aliases.json", "snapshots", "evaluation"} <= held <= told
    shutil.copytree(folder, copy)
    found = as_json("query", "What sleeps?", **here | {"SEARCH_DATA_DIR": str(copy), "SEARCH_COLLECTION": "live"})
    assert found["hits"][0]["document_id"] == "notes/cats.md"


@pytest.fixture(params=["edge", *SERVERS])
def engine(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path) -> dict[str, Any]:
    """The environment that names an engine."""
    return (
        {"SEARCH_DATA_DIR": str(tmp_path / "data")} if request.param == "edge" else in_one_shard(serve(request.param).environment)
    )


def test_reindexing_and_the_way_back(engine: dict[str, Any], notes: Path, model_folder: Path, tmp_path: Path) -> None:
    first = "documents" if "SEARCH_DATA_DIR" in engine else "documents.v1"
    search("ingest", notes, **engine)
    new = engine | {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_STORAGE__QUANTIZATION": "scalar"}
    assert "`search reindex`" in error("query", "cats", **new)
    queries = tmp_path / "queries.txt"
    queries.write_text("What sleeps?\n\nWhat barks?\n")
    done = search("reindex", "--queries", queries, **new)
    assert done.stdout == (
        "documents.v2: 2 passages embedded, 0 documents were there already\n"
        "2 queries: 100% of the first 10 documents are the same\n"
        f"documents leads to documents.v2; {first} stays until `search collections drop {first}`\n"
    )
    assert as_json("query", "What sleeps?", **new)["embedder"] == "embedder-mean"
    listed = as_json("collections", "list", **engine)["collections"]
    assert listed == [{"name": first, "aliases": []}, {"name": "documents.v2", "aliases": ["documents"]}]
    info = as_json("collections", "info", "documents", **engine)
    assert (info["name"], info["passages"], info["previous"]) == ("documents.v2", 2, {"documents": first})
    assert info["storage"]["quantization"] == "scalar"
    assert as_json("reindex", "--rollback", **engine) == {"left": "documents.v2", "live": first}
    assert as_json("query", "What sleeps?", **engine)["embedder"] == "all-MiniLM-L6-v2"
    assert "nothing to lead" not in search("reindex", "--rollback", **engine).stdout  # and forth again


def test_reindexing_does_nothing_where_nothing_differs(engine: dict[str, Any], notes: Path, model_folder: Path) -> None:
    first = "documents" if "SEARCH_DATA_DIR" in engine else "documents.v1"
    engine |= {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean")}
    search("ingest", notes, **engine)
    nothing = f"{first} is as the settings want it, so nothing was copied; --anew fills a new collection all the same\n"
    for options in ((), ("--no-check",)):
        assert search("reindex", *options, **engine).stdout == nothing
    done = as_json("reindex", **engine)
    assert (done["live"], done["new"], done["as_is"], done["ingest"]["unchanged"]) == (first, first, True, 2)
    assert [one["name"] for one in as_json("collections", "list", **engine)["collections"]] == [first]
    anew = search("reindex", "--anew", **engine).stdout.splitlines()[0]
    assert anew == "documents.v2: 2 passages copied without being embedded again, 0 passages embedded"
    differing = {
        "documents.v3": {"SEARCH_CHUNKING__TOKENS": "16", "SEARCH_CHUNKING__OVERLAP": "0"},
        "documents.v4": {"SEARCH_STORAGE__HNSW_M": "24"},
        "documents.v5": {"SEARCH_LEXICAL__LANGUAGE": "german"},
        "documents.v6": {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-cls")},
    }
    for name, changes in differing.items():
        engine |= changes
        said = search("reindex", "--no-check", **engine).stdout
        assert f"documents leads to {name}; " in said
        assert search("reindex", **engine).stdout == nothing.replace(f"{first} is", f"{name} is")


def test_reindexing_copies_nothing_for_payload_indexes(engine: dict[str, Any], notes: Path, model_folder: Path) -> None:
    first = "documents" if "SEARCH_DATA_DIR" in engine else "documents.v1"
    engine |= {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean")}
    search("ingest", notes, **engine)
    wanted: dict[str, str] = {}
    for field, kind, indexed_by in (
        ("metadata.year", "integer", "ingest"),
        ("metadata.open", "bool", "ingest"),
        ("metadata.tags", "keyword", "ingest"),
        ("metadata.size", "integer", "reindex"),
        ("metadata.team", "keyword", "reindex"),
    ):
        wanted[field] = kind
        engine |= {"SEARCH_STORAGE__PAYLOAD_INDEXES": json.dumps(wanted)}
        if indexed_by == "ingest":
            search("ingest", notes, **engine)
        done = as_json("reindex", **engine)
        assert (done["live"], done["new"], done["as_is"]) == (first, first, True)
        indexed = {one.removesuffix("[]") for one in as_json("collections", "info", "documents", **engine)["payload_indexes"]}
        assert indexed >= wanted.keys() - {"metadata.open"}  # which is another field in the engine


def test_judgements_decide(engine: dict[str, Any], notes: Path, model_folder: Path, tmp_path: Path) -> None:
    search("ingest", notes, **engine)
    judged = tmp_path / "judged.jsonl"
    lines = [
        {"query": "Which animal is asleep?", "relevant": ["notes/cats.md"]},
        {"query": "What barks?", "relevant": ["notes/dogs.md"]},
    ]
    judged.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = as_json("reindex", "--judged", judged, **engine, SEARCH_CHUNKING__TOKENS="100")
    assert (done["check"]["live_ndcg"], done["check"]["new_ndcg"], done["switched"]) == (1.0, 1.0, True)
    worse = {**engine, "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-cls")}
    refused = search("reindex", "--judged", judged, **worse, status=None)
    assert ("stays with documents.v2: nDCG@10 falls from 1.000 to" in refused.stderr) == (refused.returncode == 1)
    assert ("or run it again with --no-check instead of --judged" in refused.stderr) == (refused.returncode == 1)
    judged.write_text(json.dumps({"query": "What barks?", "relevant": ["notes/dogs.md", "notes/gone.md"]}) + "\n")
    told = search("reindex", "--judged", judged, **engine, SEARCH_CHUNKING__TOKENS="100").stderr
    assert "note: 1 of 2 relevant documents is not in the collection and did not count, such as 'notes/gone.md'\n" in told
    for labels, why in (
        ({"relevant": []}, "name no relevant document"),
        ({"relevant": ["gone"]}, "none of 1 relevant document of"),
    ):
        judged.write_text(json.dumps({"query": "What barks?", **labels}) + "\n")
        assert why in error("reindex", "--judged", judged, **engine)
    folder = write(tmp_path / "pets", CORPUS, [{"_id": "q", "text": "What barks?"}], "q\tgone\t1\n", "train")
    (folder / "qrels" / "hard.tsv").write_text("q\tnotes/dogs.md\t1\n")
    (folder / "corpus.jsonl").write_text("which nobody needs, and may be large")
    assert "it has hard.tsv, train.tsv; choose by --split hard" in error("reindex", "--judged", folder, **engine)
    for chosen in ((folder, "--split", "hard"), (folder / "qrels" / "hard.tsv", "--queries", folder / "queries.jsonl")):
        assert as_json("reindex", "--judged", *chosen, **engine)["check"]["new_ndcg"] == 1.0


def test_mistakes(engine: dict[str, Any], notes: Path, tmp_path: Path) -> None:
    assert "there is no collection 'documents'" in error("reindex", **engine)
    assert "there is no collection 'documents'" in error("collections", "info", "documents", **engine)
    search("ingest", notes, **engine)
    assert "nothing to lead" in error("reindex", "--rollback", **engine)
    (tmp_path / "empty").touch()
    assert "holds no query" in error("reindex", "--queries", tmp_path / "empty", **engine)
    assert "cannot be read" in error("reindex", "--queries", tmp_path / "absent", **engine)
    assert "or --remove it" in wrong("collections", "alias", "live", **engine)


def test_aliases_snapshots_and_dropping(engine: dict[str, Any], notes: Path) -> None:
    assert "there are no collections in " in search("collections", "list", **engine).stdout
    search("ingest", notes, **engine)
    first = "documents" if "SEARCH_DATA_DIR" in engine else "documents.v1"
    assert search("collections", "alias", "live", "documents", **engine).stdout == f"live leads to {first}\n"
    live = {**engine, "SEARCH_COLLECTION": "live"}
    assert as_json("query", "What sleeps?", **live)["hits"][0]["document_id"] == "notes/cats.md"
    copied = search("collections", "snapshot", "live", **engine).stdout.strip()
    assert Path(copied).is_dir() or copied.startswith("http://")
    name = as_json("collections", "info", "live", **engine)["name"]
    assert "lead it elsewhere or remove it first" in error("collections", "drop", name, "--yes", **engine)
    for alias in as_json("collections", "info", "live", **engine)["aliases"]:
        search("collections", "alias", alias, "--remove", **engine)
    asked = search("collections", "drop", name, stdin="n\n", status=1, **engine)
    assert f"Remove {name} with 2 passages from" in asked.stderr
    assert asked.stderr.endswith("search: given up\n")
    unanswered = search("collections", "drop", name, status=1, **engine).stderr
    assert unanswered.endswith("[y/N]:\nsearch: nobody answers here, and nothing was removed; add --yes\n")
    assert search("collections", "drop", name, "--yes", **engine).stdout == f"{name} is removed, 2 passages\n"
    assert as_json("collections", "list", **engine)["collections"] == []


def test_an_alias_leads_where_the_name_is_searched(engine: dict[str, Any], notes: Path, model_folder: Path) -> None:
    engine |= {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_RERANKER__KIND": "none"}
    on_edge = "SEARCH_DATA_DIR" in engine

    def lead(alias: str, name: str) -> str:
        return search("collections", "alias", alias, name, **engine).stdout

    search("ingest", notes, **engine)
    search("reindex", "--anew", "--no-check", **engine)
    search("ingest", "-", stdin=json.dumps({"id": "3", "text": "Birds sing at dawn."}), **engine)
    assert lead("live", "documents") == "live leads to documents.v2\n"
    assert "3" in [hit["document_id"] for hit in as_json("query", "birds", "--collection", "live", **engine)["hits"]]
    assert lead("live", "live") == "live leads to documents.v2\n"  # as before
    assert as_json("collections", "info", "live", **engine)["name"] == "documents.v2"
    if on_edge:
        assert lead("documents", "documents") == "documents leads to documents\n"  # the one that is called so
        assert as_json("collections", "info", "documents", **engine)["passages"] == 2
        assert as_json("reindex", "--rollback", **engine) == {"left": "documents", "live": "documents.v2"}
    assert as_json("reindex", "--rollback", **engine)["left"] == "documents.v2"


@pytest.mark.filterwarnings("default")
def test_a_key_that_others_may_read_on_its_way_is_told_in_one_line() -> None:
    where: dict[str, Any] = {
        "SEARCH_INDEX__ENGINE": "qdrant",
        "SEARCH_INDEX__API_KEY": "s3cret",
        "SEARCH_INDEX__URL": "http://qdrant.invalid:6333",
    }
    told = search("collections", "list", status=1, **where).stderr.splitlines()
    assert told[0] == (
        "note: the key for the Qdrant server goes to qdrant.invalid without TLS, and whoever is in between can read it; "
        "write https:// in SEARCH_INDEX__URL, if the server speaks that"
    )
    assert (len(told), told[1].startswith("search: ")) == (2, True)
    assert (
        len(search("collections", "list", status=1, **{**where, "SEARCH_INDEX__URL": "http://127.0.0.1:1"}).stderr.splitlines())
        == 1
    )


def test_quantization_and_indexes_follow_a_collection(notes: Path, tmp_path: Path, standin: QdrantStandIn) -> None:
    """Also those that were made in place, through a reindexing of the embedded engine and a push to a server."""
    local: dict[str, Any] = {"SEARCH_DATA_DIR": str(tmp_path / "data")}
    declared: dict[str, Any] = {
        "SEARCH_STORAGE__PAYLOAD_INDEXES": '{"metadata.year": "integer"}',
        "SEARCH_STORAGE__QUANTIZATION": "scalar",
    }
    search("ingest", notes, **local, **declared)
    search("collections", "index", "documents", "metadata.team", "keyword", **local)
    search("reindex", "--no-check", **local, SEARCH_CHUNKING__TOKENS="100")
    info = as_json("collections", "info", "documents", **local)
    assert info["name"] == "documents.v2"
    assert {"metadata.year", "metadata.team"} <= set(info["payload_indexes"])
    assert info["storage"]["quantization"] == "scalar"
    server = {**local, **standin.environment}
    search("push", **server)
    assert standin.indexed["documents.v1"].items() >= {"metadata.team": "keyword", "metadata.year": "float"}.items()
    assert as_json("collections", "info", "documents", **server)["quantization"] == "scalar"


@everywhere
def test_pushing_an_embedded_collection_to_a_server(notes: Path, tmp_path: Path, standin: QdrantStandIn) -> None:
    local: dict[str, Any] = {"SEARCH_DATA_DIR": str(tmp_path / "data")}
    search("ingest", notes, **local)
    assert "name the server to copy to" in error("push", **local)
    server = {**local, **in_one_shard(standin.environment)}
    where = " or ".join(standin.urls)
    assert search("push", **server).stdout.startswith(
        f"2 added, 0 changed, 0 unchanged, 0 rejected; 2 passages written to {where} in "
    )
    here, there = (as_json("query", "What sleeps?", **where)["hits"] for where in (local, server))
    assert [hit["chunk_id"] for hit in here] == [hit["chunk_id"] for hit in there]
    assert [hit["lexical_score"] for hit in here] == pytest.approx([hit["lexical_score"] for hit in there], abs=1e-5)
    assert max(hit["lexical_score"] for hit in there) > 0
    assert [hit["retrieval_score"] for hit in here] == pytest.approx([hit["retrieval_score"] for hit in there], abs=1e-5)
    assert "nothing to lead" in error("reindex", "--rollback", **local)
    (notes / "cats.md").write_text(CATS.replace("most", "all"))
    search("ingest", notes, **local)
    again = as_json("push", **server)
    assert (again["changed"], again["unchanged"], again["chunks"]) == (1, 1, 1)
    assert as_json("query", "What sleeps?", **server)["hits"][0]["text"] == CATS.replace("most", "all").strip()
    assert as_json("ingest", notes, **server)["unchanged"] == 2
    assert "there is no collection 'other'" in error("push", "--collection", "other", **server)
    search("reindex", SEARCH_CHUNKING__TOKENS="60", **local)  # after which the name is an alias
    (notes / "cats.md").write_text(CATS)
    search("ingest", notes, **local)
    again = as_json("push", **server)
    assert (again["changed"], again["unchanged"], again["chunks"]) == (1, 1, 1)


def test_a_push_leaves_what_was_written_on_the_server(
    notes: Path, tmp_path: Path, standin: QdrantStandIn, model_folder: Path
) -> None:
    """Unless it is told to replace it; and it says what stands there alone, of which it removes nothing."""
    local: dict[str, Any] = {
        "SEARCH_DATA_DIR": str(tmp_path / "data"),
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
        "SEARCH_RERANKER__KIND": "none",
    }
    server = local | standin.environment
    search("ingest", notes, **local)
    assert search("push", **server).stderr == ""
    search("ingest", "-", stdin=json.dumps({"id": "notes/cats.md", "text": "Edited there."}), **server)
    search("update", '{"team": "new"}', "notes/dogs.md", **server)
    search("ingest", "-", stdin=json.dumps({"id": "3", "text": "Birds sing."}), **server)
    (notes / "cats.md").write_text("Edited here.")
    (notes / "dogs.md").write_text("Dogs bark.")
    (notes / "new.md").write_text("New.")
    search("ingest", notes, **local)
    only_there = "1 document is there and not here (such as 3); push removes nothing\n"
    pushed = search("push", **server)
    assert pushed.stdout.startswith("1 added, 0 changed, 0 unchanged, 0 rejected, 2 kept as they are (")
    assert pushed.stderr == (
        "2 documents were written there, and not by a push (such as notes/cats.md, notes/dogs.md); "
        f"--overwrite replaces what is there\n{only_there}"
    )
    assert text_on(server) == "Edited there."
    report = as_json("push", **server)
    assert (report["kept_ids"], report["only_there"], report["only_there_ids"]) == (["notes/cats.md", "notes/dogs.md"], 1, ["3"])
    replaced = search("push", "--overwrite", **server)
    assert replaced.stdout.startswith("0 added, 2 changed, 1 unchanged, 0 rejected; 2 passages written")
    assert (replaced.stderr, text_on(server)) == (only_there, "Edited here.")
    (notes / "cats.md").write_text("Edited again.")
    search("ingest", notes, "--sync", **local)
    assert as_json("push", **server)["changed"] == 1
    assert text_on(server) == "Edited again."


def text_on(where: dict[str, Any]) -> str:
    """Of cats.md."""
    only = '{"must": [{"key": "document_id", "match": {"value": "notes/cats.md"}}]}'
    return str(as_json("query", "edited", "--filter", only, **where)["hits"][0]["text"])
