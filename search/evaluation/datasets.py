"""What is judged? BEIR folders, TREC judgements and plain lists of relevant ids, in one shape and checked against the corpus."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

from search.documents import Document, counted, encodable
from search.errors import InvalidDataset, InvalidDocument
from search.reading.records import id_of
from search.system.files import open_regular

_TREC, _BEIR = 4, 3  # columns of a file of judgements
_HEADERS = {"score", "grade", "relevance", "relevant", "rel", "label"}  # of the last column
_JSON = re.compile(r"\s*(\{|\[\s*(\{|$))")  # not so the id [1]
_HIGHEST_GRADE = 1000  # trec_eval keeps a table of all grades up to the highest
_LABEL = '{"query": "…", "relevant": ["id"]}'

Lines: TypeAlias = Iterator[tuple[int, str]]  # with their numbers, from 1


@dataclass(frozen=True)
class Dataset:
    """Judged queries, and the corpus that is searched for them.

    Attributes:
        name: of the folder, or of the file without its ending.
        split: the judgements that were read.
        documents: the corpus; a document without text stands for its title, one without either cannot be retrieved and is left out.
            Empty where the judgements are about a collection that is there already.
        queries: the judged queries, text by id.
        qrels: grade by query id and document id; above 0 is relevant.
        empty: how many documents were left out.
    """

    name: str
    split: str
    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    empty: int = 0

    @property
    def corpus_hash(self) -> str:
        """The same for the same corpus: 12 hexadecimal digits."""
        digest = hashlib.sha256()
        for document in self.documents:
            digest.update(document.content_hash().encode())
        return digest.hexdigest()[:12]


def load_dataset(
    source: Path,
    split: str | None = None,
    *,
    queries: Path | None = None,
    corpus: Path | None = None,
    with_corpus: bool = True,
) -> Dataset:
    """Read judged data.

    In JSON lines `id` stands for `_id`, and counts where both are there, as for documents that are ingested.

    Args:
        source: a BEIR folder (queries.jsonl, qrels/SPLIT.tsv and, unless the corpus is a collection, corpus.jsonl); a file of
            judgements as TREC has them (query, 0, document, grade) or BEIR (query, document, grade); or JSON lines of a query and
            its relevant ids: {"query": "…", "relevant": ["id", …]}, or {"id": grade, …} for grades. The first line tells which.
        split: the name of a file in qrels/; None takes test, else dev.
        queries: the queries of a file of judgements: JSON lines of _id and text, as BEIR's, or lines of id, tab and text.
        corpus: JSON lines of _id, text and title, of a source that is no folder; None: the judged documents are in a
            collection.
        with_corpus: whether that of a folder is read, too, which may be large.

    Raises:
        InvalidDataset: a file is missing or cannot be understood, or queries and judgements do not fit together.
    """
    if source.is_dir():
        split = _split(source, split)
        judgements = source / "qrels" / f"{split}.tsv"
        qrels = _read_qrels(judgements, _lines(judgements))
        query_texts = _read_queries(queries or source / "queries.jsonl")
        if corpus is None and with_corpus and (source / "corpus.jsonl").is_file():
            corpus = source / "corpus.jsonl"
        name = source.resolve().name
    elif split is not None:
        raise InvalidDataset(f"{source} is one file of judgements, so there is no split {split!r} to choose")
    else:
        name, split = source.stem, "all"
        lines, is_json = _begun(source)
        if is_json and queries is not None:
            raise InvalidDataset(f"{source} holds its queries itself; leave {queries} out")
        if is_json:
            query_texts, qrels = _read_labels(source, lines)
        else:
            qrels = _read_qrels(source, lines)
            if queries is None:
                how = "--queries queries.jsonl, or id, tab and text"
                raise InvalidDataset(f"{source} holds judgements; name the file of its queries, too ({how})")
            query_texts = _read_queries(queries)
    if missing := sorted(qrels.keys() - query_texts.keys()):
        without = counted(len(missing), "judged query has", "judged queries have")
        raise InvalidDataset(f"{source}: {without} no text, such as {missing[0]!r}; is this the right file of queries?")
    judged = {query: text for query, text in query_texts.items() if query in qrels}
    documents, empty = _read_corpus(corpus) if corpus else ((), 0)
    return Dataset(name, split, documents, judged, qrels, empty)


def checked(dataset: Dataset, known: Collection[str]) -> tuple[Dataset, list[str]]:
    """The data set as it is measured, and what is remarkable about it.

    A negative grade counts as 0. A query without a relevant document stays, and counts 0, as in trec_eval; so does a relevant
    document that is not in the corpus, as one that was not retrieved.

    Args:
        dataset: the judgements.
        known: ids of the documents in the corpus.

    Raises:
        InvalidDataset: no judged document is in the corpus, or none is judged.
    """
    notes = []
    judged = {document for grades in dataset.qrels.values() for document in grades}
    if not judged:
        raise InvalidDataset(f"{dataset.name} judges no document, so that nothing can be measured; name some that are relevant")
    if not judged & set(known):
        raise InvalidDataset(
            f"none of {counted(len(judged), 'judged document')} of {dataset.name}, such as {min(judged)!r}, is among the "
            f"{counted(len(known), 'document')} of the corpus: "
            "these judgements are about another corpus, or ids are written otherwise"
        )
    if dataset.empty:
        one, several = "document has neither title nor text and is", "documents have neither title nor text and are"
        notes.append(f"{counted(dataset.empty, one, several)} left out")
    if unknown := sorted(judged - set(known)):
        some = f"{len(unknown):,} of {counted(len(judged), 'judged document')} {'is' if len(unknown) == 1 else 'are'}"
        notes.append(f"{some} not in the corpus, such as {unknown[0]!r}")
    if negative := sum(grade < 0 for grades in dataset.qrels.values() for grade in grades.values()):
        notes.append(f"{counted(negative, 'grade is negative and counts', 'grades are negative and count')} as 0")
        qrels = {query: {d: max(grade, 0) for d, grade in grades.items()} for query, grades in dataset.qrels.items()}
        dataset = replace(dataset, qrels=qrels)
    if unanswerable := [query for query, grades in dataset.qrels.items() if not any(grade > 0 for grade in grades.values())]:
        queries = counted(
            len(unanswerable), "query has no relevant document and counts", "queries have no relevant document and count"
        )
        notes.append(f"{queries} 0 in every run, such as {unanswerable[0]!r}")
    if blank := [query for query, text in dataset.queries.items() if not text.strip()]:
        queries = counted(len(blank), "query is empty and counts", "queries are empty and count")
        notes.append(f"{queries} 0 in every run, such as {blank[0]!r}")
    return dataset, notes


def _split(folder: Path, split: str | None) -> str:
    wanted = [split] if split else ["test", "dev"]
    name = next((name for name in wanted if (folder / "qrels" / f"{name}.tsv").is_file()), None)
    if name is None:
        there = sorted(file.stem for file in (folder / "qrels").glob("*.tsv"))
        others = f"it has {', '.join(f'{name}.tsv' for name in there)}; choose by --split {there[0]}" if there else ""
        message = f"{folder} has no qrels/{' or '.join(f'{name}.tsv' for name in wanted)}; "
        raise InvalidDataset(message + (others or "a BEIR folder has, beside queries.jsonl"))
    return name


def _read_corpus(file: Path) -> tuple[tuple[Document, ...], int]:
    """The documents, and how many had nothing to read."""
    documents = []
    empty = 0
    for number, row in _rows(file, _lines(file), ("_id", "text")):
        title, text = row.get("title") or "", row["text"]
        if not isinstance(title, str):
            raise InvalidDataset(f"{file}:{number} has a title that is no string")
        if not text.strip() and not title.strip():
            empty += 1
            continue
        try:
            documents.append(
                Document(id=row["_id"], text=text, title=title) if text.strip() else Document(id=row["_id"], text=title)
            )
        except InvalidDocument as error:
            raise InvalidDataset(f"{file}:{number}: {error}") from error
    if not documents:
        raise InvalidDataset(f"{file} holds no documents")
    _unique(file, "document", [document.id for document in documents])
    return tuple(documents), empty


def _read_queries(file: Path) -> dict[str, str]:
    pairs = []
    lines, is_json = _begun(file)
    if is_json:
        rows = _rows(file, lines, ("_id", "text"))
        pairs = [(_name(row["_id"], file, number), _text(row["text"], file, number)) for number, row in rows]
    else:
        for number, line in lines:
            query, tab, text = line.partition("\t")
            if not tab:
                form = '{"_id": "…", "text": "…"}'
                raise InvalidDataset(f"{file}:{number} is not a query's id, a tab and its text, nor JSON such as {form}")
            pairs.append((_name(query.strip(), file, number), text.strip()))
    _unique(file, "query", [query for query, _ in pairs])
    return dict(pairs)


def _read_labels(file: Path, lines: Lines) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    texts: set[str] = set()
    for number, row in _rows(file, lines, ("query",)):
        match row.get("relevant"):
            case list() as ids if all(isinstance(name, str) or _is_whole(name) for name in ids):
                grades = dict.fromkeys(map(str, ids), 1)
            case dict() as graded if all(map(_is_number, graded.values())):
                grades = graded
            case _:
                raise InvalidDataset(f'{file}:{number}: "relevant" must be a list of document ids, or an object of grades by id')
        row_id = f"line {number}" if row.get("_id") is None else row["_id"]
        if not isinstance(row_id, str):
            raise InvalidDataset(f"{file}:{number} has an id that is neither a string nor a whole number")
        query = _name(row_id, file, number)
        _text(row["query"], file, number)
        if query in queries or row["query"] in texts:
            what = f"id {query!r}" if query in queries else f"query {row['query']!r}"
            message = f"{file}:{number}: the {what} is there a second time; put all that is relevant to a query into one line"
            raise InvalidDataset(message)
        texts.add(row["query"])
        queries[query] = row["query"]
        qrels[query] = {_name(document, file, number): _grade(grade, file, number) for document, grade in grades.items()}
    return queries, qrels


def _read_qrels(file: Path, lines: Lines) -> dict[str, dict[str, int]]:
    """BEIR's three columns, or TREC's four, below a header or without one."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in lines:
        columns = [column.strip() for column in (line.split("\t") if "\t" in line else line.split())]
        known = len(columns) in {_BEIR, _TREC}
        if not qrels and known and columns[-1].lower() in _HEADERS:
            continue
        if not known or not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]*)?", columns[-1]):
            raise InvalidDataset(
                f"{file}:{number} is neither query-id, corpus-id and score separated by tabs, as in BEIR, "
                f"nor query, 0, document and grade, as in TREC, nor JSON such as {_LABEL}"
            )
        query, document = _name(columns[0], file, number), _name(columns[-2], file, number)
        grade = _grade(float(columns[-1]), file, number)
        if qrels.setdefault(query, {}).setdefault(document, grade) != grade:
            raise InvalidDataset(f"{file}:{number} grades document {document!r} for query {query!r} a second time, and otherwise")
    if not qrels:
        raise InvalidDataset(f"{file} holds no judgements")
    return qrels


def _name(text: str, file: Path, number: int) -> str:
    """An id that every tool can carry."""
    if not text.strip() or "\0" in text or not encodable(text):
        raise InvalidDataset(f"{file}:{number} has an id that is empty, or that cannot be stored: {text!r}")
    return text


def _text(query: str, file: Path, number: int) -> str:
    """What a model can be asked."""
    if not encodable(query):
        raise InvalidDataset(f"{file}:{number} has a query with half of a surrogate pair, which no model reads: {query!r}")
    return query


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _grade(grade: float, file: Path, number: int) -> int:
    """A whole number, which pandas writes as 2.0 in columns with gaps."""
    if grade % 1 or abs(grade) > _HIGHEST_GRADE:
        shown = f"{grade:,}".removesuffix(".0")
        raise InvalidDataset(f"{file}:{number} has the grade {shown}; grades are whole numbers up to {_HIGHEST_GRADE:,}")
    return int(grade)


def _unique(file: Path, what: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise InvalidDataset(f"{file} names the {what} {twice!r} twice; each must be there once")


def _begun(file: Path) -> tuple[Lines, bool]:
    """The lines of a file, and whether they are JSON: a pipe has no name that says so, and is read once."""
    lines = _lines(file)
    first = list(islice(lines, 1))
    return chain(first, lines), bool(first) and _JSON.match(first[0][1]) is not None


def _lines(file: Path) -> Lines:
    """Lines that hold something."""
    try:
        with TextIOWrapper(open_regular(file, or_pipe=True), "utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except (OSError, ValueError) as error:
        raise InvalidDataset(f"{file} cannot be read: {error}") from error


def _rows(file: Path, lines: Lines, fields: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects with these strings in them, with the numbers of their lines; `_id` is what `id_of` says, and null an empty text."""
    for number, line in lines:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidDataset(f"{file} cannot be read: line {number}: {error}; write one JSON object a line") from error
        if not isinstance(row, dict):
            raise InvalidDataset(f"{file}:{number} is JSON, and no object; write one object a line")
        row["_id"] = str(name) if _is_whole(name := id_of(row)) else name  # as documents are ingested
        if "text" in row and row["text"] is None:
            row["text"] = ""
        if missing := [field for field in fields if not isinstance(row.get(field), str)]:
            raise InvalidDataset(f"{file}:{number} lacks the string {' and '.join(missing)}")
        yield number, row
