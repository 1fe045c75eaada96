"""Judged data as it comes: BEIR folders, TREC judgements, lists of relevant ids, and all that can be wrong with them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from judged import CORPUS, QRELS, QUERIES, lines, write

from search import Document, read
from search.errors import InvalidDataset
from search.evaluation.datasets import Dataset, checked, load_dataset


def test_a_folder_is_read_as_it_comes(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "pets", CORPUS, QUERIES, QRELS, "dev"))
    assert (dataset.name, dataset.split) == ("pets", "dev")
    assert [(d.id, d.passage) for d in dataset.documents] == [
        ("cat", "Cats Cats sleep most of the day."),
        ("dog", "Dogs bark at strangers."),
        ("paris", "Paris, the capital of France"),
    ]
    assert dataset.queries == {"q1": "sleeping cats", "q2": "capital of France"}
    assert dataset.qrels == {"q1": {"cat": 2, "dog": 0}, "q2": {"paris": 1}}
    assert dataset.empty == 1
    write(tmp_path / "pets", CORPUS, QUERIES, "q1\tdog\t1\n", "test")
    assert load_dataset(tmp_path / "pets").split == "test"
    assert load_dataset(tmp_path / "pets", "dev").split == "dev"


def test_the_hash_is_of_the_corpus(tmp_path: Path) -> None:
    one = load_dataset(write(tmp_path / "a", CORPUS, QUERIES, QRELS))
    same = load_dataset(write(tmp_path / "b", CORPUS, QUERIES[:2], QRELS))
    other = load_dataset(write(tmp_path / "c", CORPUS[1:], QUERIES, QRELS))
    assert one.corpus_hash == same.corpus_hash != other.corpus_hash


def test_judgements_as_trec_has_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets", CORPUS, QUERIES, QRELS)
    judgements = tmp_path / "pets.qrels"
    judgements.write_text("q1 0 cat 2\r\nq1\t0\tdog\t0\n\nq2 Q0 paris 1\n")
    topics = tmp_path / "topics.tsv"
    topics.write_text("[3]\tunjudged\nq1\tsleeping cats\nq2\tcapital of France\n")
    plain = load_dataset(judgements, queries=topics, corpus=folder / "corpus.jsonl")
    expected = load_dataset(folder)
    assert (plain.queries, plain.qrels, plain.documents) == (expected.queries, expected.qrels, expected.documents)
    assert (plain.name, plain.split) == ("pets", "all")
    assert load_dataset(judgements, queries=folder / "queries.jsonl").documents == ()
    header = "query_id\titer\tdoc_id\trelevance\n"
    for text in ("q1\tcat\t1\n", "q1 0 cat 1.0\n", f"{header}q1\t0\tcat\t1.\n"):  # BEIR's columns without a header, TREC's with one
        judgements.write_text(text)
        assert load_dataset(judgements, queries=topics).qrels == {"q1": {"cat": 1}}


def test_lists_of_relevant_ids(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": None, "query": "sleeping cats", "relevant": ["cat", "dog"]},
        {"_id": "fr", "query": "France", "relevant": {"paris": 3}},
    ]
    dataset = load_dataset(lines(tmp_path / "labels.jsonl", rows))
    assert (dataset.name, dataset.documents) == ("labels", ())
    assert dataset.queries == {"line 1": "sleeping cats", "fr": "France"}
    assert dataset.qrels == {"line 1": {"cat": 1, "dog": 1}, "fr": {"paris": 3}}


@pytest.mark.parametrize("name", ["labels.ndjson", "labels.json", "labels", "labels.tsv", "a pipe"])
def test_the_first_line_says_what_a_file_is(name: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": 7, "query": "sleeping cats", "relevant": {"cat": 2.0, "dog": 0}}]

    def written(rows: list[dict[str, Any]]) -> Path:
        text = "\n" + "".join(f" {json.dumps(row)}\n" for row in rows)
        if name != "a pipe":
            (tmp_path / name).write_text(text)
            return tmp_path / name
        reading, writing = os.pipe()
        os.write(writing, text.encode())
        os.close(writing)
        pipes.append(reading)
        return Path(f"/dev/fd/{reading}")

    pipes: list[int] = []
    dataset = load_dataset(written(rows))
    assert (dataset.queries, dataset.qrels) == ({"7": "sleeping cats"}, {"7": {"cat": 2, "dog": 0}})
    judgements = tmp_path / "trec.jsonl"
    judgements.write_text("7 0 cat 1\n")
    queries = written([{"_id": "7", "text": "sleeping cats"}])
    assert load_dataset(judgements, queries=queries).queries == dataset.queries
    for pipe in pipes:
        os.close(pipe)


def test_what_search_ingests_is_a_corpus(tmp_path: Path) -> None:
    folder = write(tmp_path, [], [{"id": "q1", "text": "sleeping cats"}], "q1\tcat\t1\n")
    corpus: list[dict[str, Any]] = [
        {"id": "cat", "text": "Cats sleep."},
        {"_id": 2, "text": None, "title": "Dogs"},
        {"id": 3, "text": None},
    ]
    lines(folder / "corpus.jsonl", corpus)
    dataset = load_dataset(folder)
    assert [(one.id, one.passage) for one in dataset.documents] == [("cat", "Cats sleep."), ("2", "Dogs")]
    assert (dataset.queries, dataset.empty) == ({"q1": "sleeping cats"}, 1)


def test_a_document_with_two_ids_is_known_by_the_same_one_where_it_is_ingested(tmp_path: Path) -> None:
    corpus: list[dict[str, Any]] = [
        {"_id": 2, "id": "x", "text": "Dogs bark."},
        {"_id": "bird", "id": None, "text": "Birds sing."},
        {"_id": None, "id": 4, "text": "Fish swim."},
    ]
    file, objects = lines(tmp_path / "corpus.jsonl", corpus), tmp_path / "corpus.json"
    objects.write_text(json.dumps(corpus))
    labels = lines(tmp_path / "labels.jsonl", [{"_id": 1, "id": "q", "query": "dogs", "relevant": ["x"]}])
    dataset = load_dataset(labels, corpus=file)
    ids = ["x", "bird", "4"]
    assert [one.id for one in dataset.documents] == ids
    assert list(dataset.queries) == ["q"]
    for source in (file, objects):
        assert [one.id for one in read(source) if isinstance(one, Document)] == ids


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    (tmp_path / "q.qrels").write_text("\nq1 0 cat 1\n\n\nq1 0 dog\n")
    with pytest.raises(InvalidDataset, match=r"q\.qrels:5 is neither"):
        load_dataset(tmp_path / "q.qrels", queries=tmp_path / "q.tsv")
    (tmp_path / "q.qrels").write_text("q1\td1\thigh\nq2\td1\t1\n")  # no header, and nothing to be lost
    with pytest.raises(InvalidDataset, match=r"q\.qrels:1 is neither"):
        load_dataset(tmp_path / "q.qrels", queries=tmp_path / "q.tsv")


def test_what_does_not_apply_is_refused(tmp_path: Path) -> None:
    labels = lines(tmp_path / "labels.jsonl", [{"query": "x", "relevant": ["a"]}])
    with pytest.raises(InvalidDataset, match="there is no split 'test' to choose"):
        load_dataset(labels, "test")
    with pytest.raises(InvalidDataset, match="holds its queries itself; leave "):
        load_dataset(labels, queries=labels)


def test_a_folder_without_a_corpus_is_about_a_collection(tmp_path: Path) -> None:
    folder = write(tmp_path, CORPUS, QUERIES, QRELS)
    (folder / "corpus.jsonl").unlink()
    assert load_dataset(folder).documents == ()


def test_what_is_remarkable_is_told() -> None:
    qrels = {"q1": {"cat": 2, "dog": -2}, "q2": {"gone": 1, "cat": 0}, "q3": {"cat": 0}, "q4": {"cat": 1}}
    queries = {"q1": "a", "q2": "b", "q3": "c", "q4": " "}
    dataset, notes = checked(Dataset("pets", "all", (), queries, qrels, 2), {"cat", "dog"})
    assert dataset.qrels["q1"] == {"cat": 2, "dog": 0}
    assert notes == [
        "2 documents have neither title nor text and are left out",
        "1 of 3 judged documents is not in the corpus, such as 'gone'",
        "1 grade is negative and counts as 0",
        "1 query has no relevant document and counts 0 in every run, such as 'q3'",
        "1 query is empty and counts 0 in every run, such as 'q4'",
    ]
    assert checked(Dataset("pets", "all", (), {"q": "a"}, {"q": {"cat": 1}}), {"cat"})[1] == []
    with pytest.raises(InvalidDataset, match="none of 3 judged documents of pets, such as 'cat', is among the 1 document"):
        checked(Dataset("pets", "all", (), queries, qrels), {"x"})
    with pytest.raises(InvalidDataset, match="pets judges no document"):
        checked(Dataset("pets", "all", (), {"q": "a"}, {"q": {}}), {"x"})


INVALID: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], str, str]] = {
    "no text in corpus": ([{"_id": "a"}], QUERIES, QRELS, r"corpus\.jsonl:1 lacks the string text$"),
    "no id in corpus": ([{"text": "x"}], QUERIES, QRELS, r"corpus\.jsonl:1 lacks the string _id$"),
    "neither in queries": (CORPUS, [{"a": 1}], QRELS, r"queries\.jsonl:1 lacks the string _id and text"),
    "number as id": ([{"_id": 1.5, "text": "x"}], QUERIES, QRELS, r"corpus\.jsonl:1 lacks"),
    "document named twice": ([CORPUS[0], CORPUS[0]], QUERIES, QRELS, "names the document 'cat' twice"),
    "query named twice": (CORPUS, [QUERIES[0], *QUERIES], QRELS, "names the query 'q1' twice"),
    "no documents": ([CORPUS[3]], QUERIES, QRELS, "holds no documents"),
    "judged query missing": (CORPUS, QUERIES[:1], QRELS, "1 judged query has no text, such as 'q2'"),
    "judgements with two columns": (CORPUS, QUERIES, "q1\tcat\n", r"test\.tsv:2 is neither query-id, corpus-id and score"),
    "grade that is no number": (CORPUS, QUERIES, "q1\tcat\thigh\n", r"test\.tsv:2 is neither"),
    "two grades for one pair": (CORPUS, QUERIES, "q1\tcat\t1\nq1\tcat\t2\n", "grades document 'cat' for query 'q1' a second time"),
    "no judgements": (CORPUS, QUERIES, "", "holds no judgements"),
    "a title that is no string": ([{"_id": "a", "text": "x", "title": 3}], QUERIES, QRELS, r"corpus\.jsonl:1 has a title"),
    "a blank id": ([{"_id": " ", "text": "x"}], QUERIES, QRELS, r"corpus\.jsonl:1: the document has no id"),
    "a grade beyond measure": (CORPUS, QUERIES, "q1\tcat\t4294967296\n", r"test\.tsv:2 is neither"),
    "a grade beyond use": (
        CORPUS,
        QUERIES,
        "q1\tcat\t1001\n",
        r"test\.tsv:2 has the grade 1,001; grades are whole",
    ),
    "a grade with a fraction": (CORPUS, QUERIES, "q1\tcat\t0.5\n", r"test\.tsv:2 has the grade 0\.5; grades are whole numbers"),
    "a header that is a row": (CORPUS, QUERIES, "q1\tcat\thigh\n", r"test\.tsv:2 is neither"),
    "an id with a zero byte": (CORPUS, [{"_id": "q\0", "text": "x"}, *QUERIES], QRELS, r"queries\.jsonl:1 has an id that"),
}


@pytest.mark.parametrize("name", INVALID)
def test_folders_that_do_not_fit_together(name: str, tmp_path: Path) -> None:
    corpus, queries, qrels, message = INVALID[name]
    with pytest.raises(InvalidDataset, match=message):
        load_dataset(write(tmp_path, corpus, queries, qrels))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no judgements"),
        ([{"query": "x", "relevant": ["a", "\ud800"]}], "jsonl:1 has an id that is empty, or that cannot be stored"),
        ([{"query": "x", "relevant": [" "]}], "jsonl:1 has an id that is empty"),
        ([{"query": "x", "relevant": {"a": 10**20}}], "jsonl:1 has the grade 100,000,000"),
        ([{"query": "x", "relevant": {"a": 2.5}}], "jsonl:1 has the grade 2.5; grades are whole numbers up to 1,000"),
        ([{"query": "x", "relevant": {"a": float("nan")}}], "jsonl:1 has the grade nan; grades are whole"),
        ([{"query": "x", "relevant": {"a": "2"}}], 'jsonl:1: "relevant" must be'),
        ([{"_id": 0.5, "query": "x", "relevant": ["a"]}], "jsonl:1 has an id that is neither a string nor a whole number"),
        ([{"id": 7.5, "query": "x", "relevant": ["a"]}], "jsonl:1 has an id that is neither"),
        ([{"relevant": ["a"]}], "lacks the string query"),
        ([{"query": "x"}], 'jsonl:1: "relevant" must be a list of document ids, or an object of grades by id'),
        ([{"query": "x", "relevant": [1.5]}], "jsonl:1: .relevant. must"),
        ([{"query": "x", "relevant": {"a": True}}], "jsonl:1: .relevant. must"),
        ([{"query": "x", "relevant": ["a"]}, {"query": "x", "relevant": ["b"]}], "jsonl:2: the query 'x' is there a second time"),
        (
            [{"_id": "1", "query": "x", "relevant": []}, {"_id": "1", "query": "y", "relevant": []}],
            "the id '1' is there a second",
        ),
    ],
)
def test_lists_that_are_no_labels(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=message):
        load_dataset(lines(tmp_path / "labels.jsonl", rows))


def test_files_that_are_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"no qrels/test\.tsv or dev\.tsv"):
        load_dataset(tmp_path)
    with pytest.raises(InvalidDataset, match=r"nowhere\.txt cannot be read"):
        load_dataset(tmp_path / "nowhere.txt")
    write(tmp_path, CORPUS, QUERIES, QRELS)
    with pytest.raises(InvalidDataset, match=r"no qrels/train\.tsv; it has test\.tsv; choose by --split test"):
        load_dataset(tmp_path, "train")
    (tmp_path / "qrels" / "test.tsv").rename(tmp_path / "qrels" / "train.tsv")
    with pytest.raises(InvalidDataset, match=r"no qrels/test\.tsv or dev\.tsv; it has train\.tsv; choose by --split train"):
        load_dataset(tmp_path)
    (tmp_path / "qrels" / "train.tsv").rename(tmp_path / "qrels" / "test.tsv")
    with pytest.raises(InvalidDataset, match="name the file of its queries, too"):
        load_dataset(tmp_path / "qrels" / "test.tsv")
    (tmp_path / "topics.txt").write_text("q1 sleeping cats\n")
    with pytest.raises(InvalidDataset, match=r"topics\.txt:1 is not a query's id, a tab and its text, nor JSON"):
        load_dataset(tmp_path / "qrels" / "test.tsv", queries=tmp_path / "topics.txt")
    (tmp_path / "labels.csv").write_text("query_id,doc_id,relevance\n")
    with pytest.raises(InvalidDataset, match=r"labels\.csv:1 is neither .*, as in BEIR, nor .*, as in TREC, nor JSON such as "):
        load_dataset(tmp_path / "labels.csv")
    for text, problem in (
        ('[{"query": "x"}]', ":1 is JSON, and no object; write one object a line"),
        ("[\n {", "one JSON object a line"),
    ):
        (tmp_path / "labels.json").write_text(text)
        with pytest.raises(InvalidDataset, match=rf"labels\.json.*{problem}"):
            load_dataset(tmp_path / "labels.json")
    (tmp_path / "corpus.jsonl").write_text("{")
    with pytest.raises(InvalidDataset, match=r"corpus\.jsonl cannot be read"):
        load_dataset(tmp_path)
    (tmp_path / "queries.jsonl").unlink()
    with pytest.raises(InvalidDataset, match=r"queries\.jsonl cannot be read"):
        load_dataset(tmp_path)


def test_ids_are_as_documents_have_them(tmp_path: Path) -> None:
    """Numbers as they are ingested, and white space where it stands."""
    corpus: list[dict[str, Any]] = [{"_id": 12, "text": "Cats sleep."}, {"_id": " lead", "text": "Dogs bark."}]
    rows: list[dict[str, Any]] = [{"query": "cats", "relevant": [12]}, {"query": "dogs", "relevant": {" lead": 1}}]
    dataset = load_dataset(lines(tmp_path / "labels.jsonl", rows), corpus=lines(tmp_path / "corpus.jsonl", corpus))
    assert [document.id for document in dataset.documents] == ["12", " lead"]
    assert list(dataset.qrels.values()) == [{"12": 1}, {" lead": 1}]
    numbered = write(tmp_path / "numbered", corpus, [{"_id": 1, "text": "cats"}], "1\t12\t1\n")
    assert load_dataset(numbered).qrels == {"1": {"12": 1}}
    for wrong in (True, 1.5, None):
        with pytest.raises(InvalidDataset, match="list of document ids"):
            load_dataset(lines(tmp_path / "labels.jsonl", [{"query": "cats", "relevant": [wrong]}]))


def test_a_query_that_no_model_reads(tmp_path: Path) -> None:
    half = "cats \ud800"
    labels = lines(tmp_path / "labels.jsonl", [{"query": half, "relevant": ["cat"]}])
    with pytest.raises(InvalidDataset, match=r"labels.jsonl:1 has a query with half of a surrogate pair"):
        load_dataset(labels)
    judgements = tmp_path / "trec.qrels"
    judgements.write_text("q1 0 cat 1\n")
    with pytest.raises(InvalidDataset, match=r"queries.jsonl:1 has a query with half of a surrogate pair"):
        load_dataset(judgements, queries=lines(tmp_path / "queries.jsonl", [{"_id": "q1", "text": half}]))
