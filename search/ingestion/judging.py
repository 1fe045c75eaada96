"""By which judgements are two collections compared? Those that name documents which are there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from search.documents import check_strings, checked_whole, counted, listed
from search.errors import InvalidDataset, InvalidQuery

_HIGHEST_GRADE = 1000  # trec_eval keeps a table of all grades up to the highest


@dataclass(frozen=True, slots=True)
class Judged:
    """Queries with judged documents: text by id, and grade by query and document."""

    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


def checked_judged(judged: Any) -> Judged:
    """Judgements whose grades are Python's own whole numbers.

    Raises:
        InvalidQuery: it is something else, or names a query without its text.
    """
    if not isinstance(judged, Judged):
        raise InvalidQuery(f"judged is a {type(judged).__name__}; give search.ingestion.judging.Judged, of queries and qrels")
    queries, qrels = (_mapping(f"judged.{name}", getattr(judged, name)) for name in ("queries", "qrels"))
    check_strings([*queries, *queries.values()], "judged.queries", "queries and their ids")
    if missing := [query for query in qrels if query not in queries]:
        without = counted(len(missing), "judged query has", "judged queries have")
        raise InvalidQuery(f"{without} no text, such as {missing[0]!r}; give it in judged.queries")
    return Judged(queries, {query: _grades(query, grades) for query, grades in qrels.items()})


def measurable(judged: Judged, known: Collection[str]) -> tuple[Judged, tuple[str, ...]]:
    """What of some judgements can be measured where these documents are known, and what cannot, in words.

    Raises:
        InvalidDataset: nothing can.
    """
    relevant = {document for grades in judged.qrels.values() for document, grade in grades.items() if grade > 0}
    if not relevant:
        raise InvalidDataset("the judgements name no relevant document, so that nothing can be compared by them")
    unknown = sorted(relevant.difference(known))
    if len(unknown) == len(relevant):
        raise InvalidDataset(
            f"none of {counted(len(relevant), 'relevant document')} of the judgements, such as {listed(unknown[:1])!r}, is "
            "in the collection: these judgements are about another one, or ids are written otherwise"
        )
    in_it = {query: {one: grade for one, grade in grades.items() if one in known} for query, grades in judged.qrels.items()}
    texts = {
        query: text for query, text in judged.queries.items() if text.strip() and max(in_it.get(query, {}).values(), default=0) > 0
    }
    if not texts:
        raise InvalidDataset(
            "every query with a relevant document in the collection is empty, so that nothing can be compared by it"
        )
    notes = []
    if unknown:
        are = "is" if len(unknown) == 1 else "are"
        of_all = f"{len(unknown):,} of {counted(len(relevant), 'relevant document')} {are} not in the collection"
        notes.append(f"{of_all} and did not count, such as {listed(unknown[:1])!r}")
    if left_out := [query for query in in_it if query not in texts]:
        of_all = f"{len(left_out):,} of {counted(len(in_it), 'judged query', 'judged queries')}"
        notes.append(f"{of_all} had no relevant document there, or no text, and did not count, such as {listed(left_out[:1])!r}")
    return Judged(texts, {query: in_it[query] for query in texts}), tuple(notes)


def _mapping(name: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise InvalidQuery(f"{name} is a {type(value).__name__}; give a dict, by the ids of queries")
    return value


def _grades(query: str, grades: Any) -> dict[str, int]:
    if not isinstance(grades, Mapping):
        raise InvalidQuery(f"judged.qrels[{query!r}] is a {type(grades).__name__}; give grades by the ids of documents")
    ids = check_strings(list(grades), f"judged.qrels[{query!r}]", "ids of documents")
    checked = {one: checked_whole(f"the grade of {one!r} for {query!r}", grades[one]) for one in ids}
    if beyond := [one for one, grade in checked.items() if abs(grade) > _HIGHEST_GRADE]:
        raise InvalidQuery(
            f"the grade of {beyond[0]!r} for {query!r} is {checked[beyond[0]]:,}; grades are up to {_HIGHEST_GRADE:,}"
        )
    return checked
