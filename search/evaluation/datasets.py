"""What is judged? BEIR folders, TREC judgements and plain lists of relevant ids, in one shape and checked against the corpus."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from search.documents import Document, counted, encodable
from search.errors import InvalidDataset, InvalidDocument
from search.system.files import open_regular

_TREC, _BEIR = 4, 3  # columns of a file of judgements
_HEADERS = {"score", "grade", "relevance", "relevant", "rel", "label"}  # of the third of BEIR's
_HIGHEST_GRADE = 1000  # trec_eval keeps a table of all grades up to the highest


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


def load_dataset(source: Path, split: str | None = None, *, queries: Path | None = None, corpus: Path | None = None) -> Dataset:
    """Read judged data.

    Args:
        source: a BEIR folder (queries.jsonl, qrels/SPLIT.tsv and, unless the corpus is a collection, corpus.jsonl); a file of
            judgements as TREC has them (query, 0, document, grade) or BEIR (query, document, grade); or JSON lines of a query and
            its relevant ids: {"query": "…", "relevant": ["id", …]}, or {"id": grade, …} for grades.
        split: the name of a file in qrels/; None takes test, else dev.
        queries: the queries of a file of judgements: BEIR's queries.jsonl, or lines of id, tab and text.
        corpus: corpus.jsonl of a source that is no folder; None: the judged documents are in a collection.

    Raises:
        InvalidDataset: a file is missing or cannot be understood, or queries and judgements do not fit together.
    """
    if source.is_dir():
        split = _split(source, split)
        qrels = _read_qrels(source / "qrels" / f"{split}.tsv")
        query_texts = _read_queries(queries or source / "queries.jsonl")
        corpus = corpus or (source / "corpus.jsonl" if (source / "corpus.jsonl").is_file() else None)
        name = source.resolve().name
    elif split is not None:
        raise InvalidDataset(f"{source} is one file of judgements, so there is no split {split!r} to choose")
    elif source.suffix == ".jsonl":
        if queries is not None:
            raise InvalidDataset(f"{source} holds its queries itself; leave {queries} out")
        name, split = source.stem, "all"
        query_texts, qrels = _read_labels(source)
    else:
        name, split = source.stem, "all"
        qrels = _read_qrels(source)
        if queries is None:
            message = f"{source} holds judgements; name the file of its queries, too (--queries queries.jsonl, or id, tab and text)"
            raise InvalidDataset(message)
        query_texts = _read_queries(queries)
    if missing := sorted(qrels.keys() - query_texts.keys()):
        message = (
            f"{source}: {len(missing)} judged queries have no text, such as {missing[0]!r}; is this the right file of queries?"
        )
        raise InvalidDataset(message)
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
        InvalidDataset: no judged document is in the corpus.
    """
    notes = []
    judged = {document for grades in dataset.qrels.values() for document in grades}
    if not judged & set(known):
        raise InvalidDataset(
            f"none of the {len(judged):,} judged documents of {dataset.name}, such as {min(judged)!r}, is among the "
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
        message = f"{folder} has no qrels/{' or '.join(f'{name}.tsv' for name in wanted)}; a BEIR folder has, beside queries.jsonl"
        raise InvalidDataset(message)
    return name


def _read_corpus(file: Path) -> tuple[tuple[Document, ...], int]:
    """The documents, and how many had nothing to read."""
    documents = []
    empty = 0
    for number, row in _rows(file, ("_id", "text")):
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
    if file.suffix == ".jsonl":
        pairs = [
            (_name(row["_id"], file, number), _text(row["text"], file, number)) for number, row in _rows(file, ("_id", "text"))
        ]
    else:
        for number, line in _lines(file):
            query, tab, text = line.partition("\t")
            if not tab:
                raise InvalidDataset(f"{file}:{number} is not a query's id, a tab and its text")
            pairs.append((_name(query.strip(), file, number), text.strip()))
    _unique(file, "query", [query for query, _ in pairs])
    return dict(pairs)


def _read_labels(file: Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    texts: set[str] = set()
    for number, row in _rows(file, ("query",)):
        match row.get("relevant"):
            case list() as ids if all(isinstance(name, str) or _is_whole(name) for name in ids):
                grades = dict.fromkeys(map(str, ids), 1)
            case dict() as graded if all(map(_is_whole, graded.values())):
                grades = graded
            case _:
                raise InvalidDataset(f'{file}:{number}: "relevant" must be a list of document ids, or an object of grades by id')
        row_id = row.get("_id", f"line {number}")
        if not isinstance(row_id, str):
            raise InvalidDataset(f"{file}:{number} has an _id that is no string")
        query = _name(row_id, file, number)
        _text(row["query"], file, number)
        if query in queries or row["query"] in texts:
            what = f"_id {query!r}" if query in queries else f"query {row['query']!r}"
            message = f"{file}:{number}: the {what} is there a second time; put all that is relevant to a query into one line"
            raise InvalidDataset(message)
        texts.add(row["query"])
        queries[query] = row["query"]
        qrels[query] = {_name(document, file, number): _grade(grade, file, number) for document, grade in grades.items()}
    if not qrels:
        raise InvalidDataset(f"{file} holds no judgements")
    return queries, qrels


def _read_qrels(file: Path) -> dict[str, dict[str, int]]:
    """BEIR's three columns below a header, or TREC's four without one."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(file):
        columns = [column.strip() for column in (line.split("\t") if "\t" in line else line.split())]
        if not qrels and len(columns) == _BEIR and columns[2].lower() in _HEADERS:
            continue
        if len(columns) not in {_BEIR, _TREC} or not re.fullmatch(r"-?[0-9]{1,9}", columns[-1]):
            raise InvalidDataset(
                f"{file}:{number} is neither query-id, corpus-id and score separated by tabs, as in BEIR, "
                "nor query, 0, document and grade, as in TREC"
            )
        query, document = _name(columns[0], file, number), _name(columns[-2], file, number)
        grade = _grade(int(columns[-1]), file, number)
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


def _grade(grade: int, file: Path, number: int) -> int:
    if abs(grade) > _HIGHEST_GRADE:
        raise InvalidDataset(f"{file}:{number} has the grade {grade:,}; grades are whole numbers up to {_HIGHEST_GRADE:,}")
    return grade


def _unique(file: Path, what: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise InvalidDataset(f"{file} names the {what} {twice!r} twice; each must be there once")


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines that hold something, with their numbers."""
    try:
        with TextIOWrapper(open_regular(file, or_pipe=True), "utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except (OSError, ValueError) as error:
        raise InvalidDataset(f"{file} cannot be read: {error}") from error


def _rows(file: Path, fields: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects with these strings in them, with the numbers of their lines."""
    for number, line in _lines(file):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidDataset(f"{file} cannot be read: line {number}: {error}") from error
        if isinstance(row, dict) and _is_whole(row.get("_id")):
            row["_id"] = str(row["_id"])  # as documents are ingested
        if not isinstance(row, dict) or not all(isinstance(row.get(field), str) for field in fields):
            raise InvalidDataset(f"{file}:{number} lacks the string {' or '.join(fields)}")
        yield number, row
