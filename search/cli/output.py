"""How does an answer look on a terminal?"""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from search.context.facts import facts_of
from search.documents import Hit, Rejection, SearchResult
from search.embedding.scripts import folded
from search.passages import readable
from search.system.terminal import note, show

if TYPE_CHECKING:
    from search.query.replay import Replay


_WORD = re.compile(r"\w+")
_BEGIN = re.compile(r"(?<=[.!?:;]) ")
_STEM, _LEAST = 5, 3  # letters that two forms of a word have in common, and that a word has which says something
_JOINTS = r"[-\u2010/ ().,]{0,2}"  # between the signs of a word that a text may have in parts, or a query
_IN_PARTS, _LONGEST = 12, 40  # words of a query that are looked for so, of so many signs
_PLACES = 200  # of words that are looked at
_LONGEST_EXCERPT, _INDENTATION = 150, 11  # characters
_TOLD, _REASONS = 5, 1000  # rejections for one reason that are told each; reasons that are told apart
_NUMBER = re.compile(r"\d+")


def print_result(result: SearchResult) -> None:
    """Hits with both ranks and scores, then what happened."""
    columns = shutil.get_terminal_size((_INDENTATION + _LONGEST_EXCERPT, 0)).columns
    width = min(max(columns - _INDENTATION, 2 * _INDENTATION), _LONGEST_EXCERPT)
    for hit in result.hits:
        show(f"{hit.rank:3}  {_moved(hit):>4}  {hit.document_id}{f' · {hit.title}' if hit.title else ''}")
        show(f"{'':{_INDENTATION}}{excerpt(readable(hit.text, hit.media_type), result.query, width)}")
        if facts := facts_of(hit):
            show(f"{'':{_INDENTATION}}{clip(facts, width)}")
        logit = "" if hit.rerank_score is None else f", reranker {hit.rerank_score:.2f}"
        logit += "" if hit.rerank_probability is None else f" (probability {hit.rerank_probability:.2f})"
        read = f", read {hit.tokens_seen} of {hit.tokens_total} tokens" if hit.truncated else ""
        words = "" if hit.lexical_score is None else f", words {hit.lexical_score:.2f}"
        show(f"           retrieved at {hit.retrieval_rank}: cosine {hit.retrieval_score:.3f}{words}{logit}{read}")
    if not result.hits:
        show(why_empty(result))
    _print_account(result)


@contextmanager
def noting_rejections(rest: str) -> Iterator[Callable[[Rejection], None]]:
    """Notes what is rejected: for one reason the first few, and at the end how many more; the `rest` is how to learn of these."""
    alike: Counter[str] = Counter()
    reasons: dict[str, str] = {}

    def tell(rejection: Rejection) -> None:
        name = rejection.document_id
        reason = rejection.reason.replace(repr(name), "'…'") if name else rejection.reason.replace(rejection.source, "…")
        kind = _NUMBER.sub("0", reason)
        kind = kind if kind in alike or len(alike) < _REASONS else ""
        reasons.setdefault(kind, reason if kind else "for other reasons")
        alike[kind] += 1
        if alike[kind] <= _TOLD:
            note(f"rejected {rejection}")

    try:
        yield tell
    finally:
        for kind, number in alike.items():
            if number > _TOLD:
                note(f"rejected {number - _TOLD:,} more: {reasons[kind]} ({rest})")


def note_rejections(rejections: Iterable[Rejection]) -> None:
    """The same of a run that is over, whose report names them."""
    with noting_rejections("--json names them") as tell:
        for rejection in rejections:
            tell(rejection)


def why_empty(result: SearchResult) -> str:
    """Why a search found nothing, as a line of its own that names options as they are written here."""
    because = (result.empty_because or "nothing found").replace("no hit reached min_score", "no hit reached --min-score")
    return because[:1].upper() + because[1:]


def print_explanation(result: SearchResult) -> None:
    """Every candidate on a line: where each stage put it, by which scores, and how much of it was read."""
    if not result.hits:
        show(why_empty(result))
        _print_account(result)
        return
    is_literal = any(hit.precedence for hit in result.hits)  # what counts before the order then has a column
    show(f"rank  was  moved{'  first' * is_literal}  cosine   at   words   at  reranker   prob.   order  read         document")
    for hit in result.hits:
        first = f"  {hit.precedence or '':5}" if is_literal else ""
        show(
            f"{hit.rank:4} {hit.retrieval_rank:4}  {_moved(hit):>5}{first}  {hit.retrieval_score:6.3f} {_place(hit.dense_rank)}  "
            f"{_figure(hit.lexical_score):>6} {_place(hit.lexical_rank)}  {_figure(hit.rerank_score):>8}  "
            f"{_figure(hit.rerank_probability):>6}  {_figure(hit.score):>6}  {f'{hit.tokens_seen} of {hit.tokens_total}':11}  "
            f"{hit.document_id}: {clip(' '.join(hit.text.split()), 80)}"
        )
    _print_account(result)


def print_replay(replay: "Replay") -> None:
    """Every candidate on a line: where retrieval put it, where it stood, where it stands now."""
    show("rank  before  moved  retrieval  reranker before → now  document")
    for move in replay.moves:
        scores = f"{_figure(move.rerank_score):>8} → {_figure(move.hit.rerank_score)}"
        show(
            f"{move.hit.rank:4}  {move.rank:6}  {_arrow(move.rank - move.hit.rank):>5}  {move.hit.retrieval_rank:9}  {scores:21}  "
            f"{move.hit.document_id}: {clip(' '.join(move.hit.text.split()), 80)}"
        )
    before, reason = replay.before, f" ({replay.now.reason})" if replay.now.reason else ""
    took = before["timings_ms"]["rerank"]
    show(f"before: {before['reranker']}, {before['rerank_status']}, order: {before['ranking']}; {took:.0f} ms")
    show(f"now: {replay.reranker}, {replay.now.status}{reason}, order: {replay.now.words}; {replay.milliseconds:.0f} ms")
    show(f"of the first ten, {replay.overlap:.0%} are the same")
    for remark in replay.notes:
        show(f"note: {remark}")


def _print_account(result: SearchResult) -> None:
    """How an answer came about."""
    status = f"{result.rerank_status}{f' ({result.reason})' if result.reason else ''}"
    where = (
        result.device if result.rerank_device in {None, result.device} else f"{result.device}, reranker on {result.rerank_device}"
    )
    retrieval = f"retrieval: {result.retrieval}, order: {result.retrieval_ranking}"
    show(f"{retrieval}; reranking: {status}, order: {result.ranking}; {timings(result)} on {where}")
    for warning in result.warnings:
        show(f"note: {warning}")


def _place(rank: int | None) -> str:
    """Where vectors or words found it, if they did."""
    return f"{'-' if rank is None else rank:>4}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def hit_line(hit: Hit) -> str:
    """A hit of the demo: its document, score and how far it moved."""
    return f"{clip(hit.document_id, 30):30} {hit.score or 0:6.2f} {_moved(hit)}"


def _moved(hit: Hit) -> str:
    return _arrow(hit.retrieval_rank - hit.rank)


def _arrow(by: int) -> str:
    return f"↑{by}" if by > 0 else f"↓{-by}" if by < 0 else ""


def clip(text: str, width: int) -> str:
    """A text in at most so many characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def excerpt(text: str, query: str, width: int) -> str:
    """The part of a text with most of a query's words, in one line of at most so many characters."""
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    asked = {_stem(word) for word in _WORD.findall(query) if len(word) >= _LEAST}
    found = ((word.start(), _stem(word[0])) for word in _WORD.finditer(line))
    places = [*islice(((place, stem) for place, stem in found if stem in asked), _PLACES), *islice(_in_parts(line, query), _PLACES)]
    sentences = {0, *(border.end() for border in _BEGIN.finditer(line))}
    starts = sentences | {line.rfind(" ", 0, max(0, place - width // 3)) + 1 for place, _ in places}

    def worth(start: int) -> tuple[int, bool, int]:
        within = {stem for place, stem in places if start <= place < start + width - _STEM}
        return len(within), start in sentences, -start

    start = max(starts, key=worth)
    return f"…{clip(line[start:], width - 1)}" if start else clip(line, width)


def _stem(word: str) -> str:
    """What a word has in common with its other forms, also in other digits and letters that are one."""
    return folded(word.casefold())[: _STEM if word.isascii() else _STEM - 1]


def _in_parts(line: str, query: str) -> Iterator[tuple[int, str]]:
    """Where words of a query stand in parts or as one, as `wi-fi`, `9784981017665` and `5 km` do."""
    for token in query.split()[:_IN_PARTS]:
        word = "".join(_WORD.findall(token))
        if _LEAST <= len(word) <= _LONGEST:
            for place in re.finditer(rf"(?<!\w){_JOINTS.join(map(re.escape, word))}(?!\w)", line, re.IGNORECASE):
                yield place.start(), _stem(word)


def timings(result: SearchResult) -> str:
    """Milliseconds of each stage."""
    return " + ".join(f"{name} {result.timings_ms[name]:.0f}" for name in ("embed", "retrieve", "rerank")) + " ms"
