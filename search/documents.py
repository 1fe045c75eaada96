"""The values that the packages hand on: documents, stored passages, hits and results. All of them frozen."""

import copy
import hashlib
import json
import math
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

from search.context.values import MAX_TOKENS, Context, Form
from search.errors import InvalidDocument, InvalidQuery
from search.passages import passage_of

if TYPE_CHECKING:
    from search.context.counting import Tokenizer

Json = Any
Retrieval = Literal["hybrid", "dense", "lexical"]
Fusion = Literal["zscore", "rrf", "dbsf"]  # how two scores become one: by z-scores, or as Qdrant's own fusions of these names do
RerankStatus = Literal["full", "partial", "skipped", "failed"]

_DEEPEST = 60  # Qdrant reads payloads of up to 128 levels, and one that is deeper spoils its collection
_LONGEST_PATH = 80  # characters of a name, in messages
_LISTED = 20  # names, in messages
_POINT_NAMESPACE = uuid.UUID("8c0d6a8e-5a39-5f0c-9a5e-0d8c1c3a6b1f")


class SparseVector(NamedTuple):
    """A vector of which most numbers are 0: the words of a text, say."""

    indices: Sequence[int]  # which ones are not, each once, 32 bits without a sign
    values: Sequence[float]  # and what they are


def is_time(modified: Json) -> bool:
    """Whether it is a number of seconds, or None."""
    try:
        return modified is None or (
            isinstance(modified, int | float) and not isinstance(modified, bool) and math.isfinite(modified)
        )
    except OverflowError:  # an integer of hundreds of digits
        return False


@dataclass(frozen=True, slots=True)
class Document:
    """What a user gives: an id of theirs, a text, and what they want back with it.

    Attributes:
        id: one of your own; a document that has it is replaced.
        text: what is cut into passages, embedded and found.
        title: read in front of each of its passages.
        metadata: an object of JSON: given back with hits, and filtered by as metadata.….
        media_type: of what it was read from; says whether the text has Markdown's headings and code blocks.
        modified: seconds since 1970; None where nobody knows. A new time alone makes no new content.
        origin: where it was read, "file:line", for rejections.
        folder: a hash of the folder that its id begins with, if it was read there.
        places: ids that it has where another folder of its file's path is named, each with that folder's hash.
        remarks: what the reader of its file left out or could not tell for certain, which metadata says under the same names.

    Raises:
        InvalidDocument: no id, no text beyond white space, or metadata that JSON cannot hold.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    media_type: str = "text/plain"
    modified: float | None = field(default=None, compare=False)
    origin: str = field(default="documents", compare=False, repr=False)
    folder: str = field(default="", compare=False, repr=False)
    places: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    remarks: Mapping[str, Json] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("id", "text", "title", "media_type"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise InvalidDocument(f"the document's {name} must be a string, not {type(value).__name__}")
            _check_encodable(value, name)
        if not self.id.strip():
            raise InvalidDocument("the document has no id; give each document a stable id of your own")
        if not self.text.strip():
            raise InvalidDocument(f"document {listed([self.id])!r} has no text; leave it out or give it some")
        if not is_time(self.modified):
            what = repr(self.modified) if isinstance(self.modified, float | bool) else f"such {type(self.modified).__name__}"
            raise InvalidDocument(f"document {listed([self.id])!r}: modified is seconds since 1970, not {what}")
        if not isinstance(self.metadata, Mapping):
            raise InvalidDocument(f"document {listed([self.id])!r}: metadata must be an object, not {type(self.metadata).__name__}")
        object.__setattr__(self, "metadata", checked_json(self.metadata, f"document {listed([self.id])!r}: metadata"))
        if not isinstance(self.remarks, Mapping):
            raise InvalidDocument(f"document {listed([self.id])!r}: remarks are those of `read`; leave them out")

    def read_at(
        self, folder: str, *, prefix: str = "", modified: float | None = None, places: tuple[tuple[str, str], ...] = ()
    ) -> "Document":
        """The same document, as it was read in a folder: text and metadata, which were checked, are not checked again.

        A prefix goes before the id; a time is when it was modified, if that is not what the document says itself.

        Raises:
            InvalidDocument: no id can begin with the prefix.
        """
        placed = copy.copy(self)
        if prefix:
            _check_encodable(prefix, "id")
            object.__setattr__(placed, "id", prefix + self.id)
        if modified is not None:
            object.__setattr__(placed, "modified", modified)
        for name, value in (("folder", folder), ("places", places)):
            object.__setattr__(placed, name, value)
        return placed

    @property
    def passage(self) -> str:
        """What a model reads: the title, a space and the text, see `search.passages`."""
        return passage_of(self.title, self.text, self.media_type)

    def content_hash(self, *salt: Json) -> str:
        """The same for the same content and salt, in any process: 32 hexadecimal digits."""
        content = [self.id, self.text, self.title, self.metadata, *salt]
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, default=list)
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _check_encodable(value: str, name: str) -> None:
    if not encodable(value):
        advice = "rename the file if it is named by it, or re-encode the source" if name == "id" else "re-encode the source"
        message = f"the document's {name} holds half of a surrogate pair, which UTF-8 cannot store; {advice}"
        raise InvalidDocument(message)


def chunk_id(document_id: str, number: int, title: str, text: str, media_type: str) -> str:
    """The id of a passage. It depends on what a model reads of it, too, since the vector that is stored with it does."""
    passage = passage_of(title, text, media_type)
    read = "" if passage == f"{title} {text}".strip() else f"\0{passage}"
    content = hashlib.sha256(f"{title}\0{text}{read}".encode()).hexdigest()
    return str(uuid.uuid5(_POINT_NAMESPACE, f"{document_id}\0{number}\0{content}"))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document that is embedded, retrieved and reranked as one."""

    document_id: str
    number: int
    text: str
    start: int  # characters into the document's text
    end: int
    title: str = ""  # the document's, and behind it the headings that the passage stands under
    metadata: Mapping[str, Json] = field(default_factory=dict)
    headings: tuple[str, ...] = ()  # outermost first
    page: int | None = None  # from 1, where the document has pages: the one on which the passage begins
    media_type: str = "text/plain"
    modified: float | None = None  # seconds since 1970
    document_title: str = ""
    before: str = ""  # white space of the document that no passage holds: in front of the first …
    after: str = ""  # … and behind this one, up to the next
    folder: str = ""  # see Document

    @property
    def id(self) -> str:
        """A UUID that depends on the document's id, the chunk's number and its content, and on nothing else: of no revision."""
        return chunk_id(self.document_id, self.number, self.title, self.text, self.media_type)

    @property
    def passage(self) -> str:
        """What a model reads: the title, a space and the text, see `search.passages`."""
        return passage_of(self.title, self.text, self.media_type)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk as retrieval found it; what its attributes are stands at Hit."""

    chunk_id: str
    document_id: str
    text: str
    title: str
    metadata: Mapping[str, Json]
    start: int
    end: int
    retrieval_rank: int
    retrieval_score: float
    tokens_seen: int
    tokens_total: int
    unknown_share: float
    headings: tuple[str, ...] = ()
    page: int | None = None
    media_type: str = "text/plain"
    modified: float | None = None
    dense_rank: int | None = None
    lexical_rank: int | None = None
    lexical_score: float | None = None
    fusion_score: float | None = None
    after: str | None = None
    precedence: int = 0

    @property
    def first_stage_score(self) -> float:
        """What retrieval order is by: the fusion of both scores, or the cosine similarity alone."""
        return self.retrieval_score if self.fusion_score is None else self.fusion_score

    @property
    def truncated(self) -> bool:
        """Whether the model that judged this passage did not read all of it."""
        return self.tokens_seen < self.tokens_total

    @property
    def passage(self) -> str:
        """What a model reads: the title, a space and the text, see `search.passages`."""
        return passage_of(self.title, self.text, self.media_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Candidate):
    """One line of an answer: the candidate, where it stands now, and what the second stage made of it.

    Attributes:
        chunk_id: of the passage, a UUID of the document's id and the passage's number and content.
        document_id: of the document that it is from.
        text: the passage, as it stands in the document.
        title: the document's, and behind it the headings that the passage stands under.
        metadata: the document's.
        start: characters into the document's text at which the passage begins.
        end: characters into it at which the passage ends.
        retrieval_rank: from 1, in the order of the first stage.
        retrieval_score: cosine similarity, higher is closer.
        tokens_seen: tokens of the passage that the last model to judge it read.
        tokens_total: all that it has.
        unknown_share: share of its tokens that are not in the embedder's vocabulary, 0 to 1.
        headings: that the passage stands under, outermost first.
        page: on which it begins, from 1; None where the document has no pages.
        media_type: of what the document was read from.
        modified: seconds since 1970, when the document's present content was written; None where nobody knows.
        dense_rank: from 1, by cosine similarity; None where the vectors did not find it.
        lexical_rank: from 1, by its words; None where those did not find it.
        lexical_score: of its words, BM25 say, 0 if it has none of the query's; None where words do not count.
        fusion_score: what retrieval order is by, where words count; None where they do not.
        after: what stands behind it, up to the document's next passage; None where that is much, or unknown.
        precedence: what counts before any score: above 0 where it has phrases or rare names of the query as they stand, the more
            the higher; below 0 where it has a word that the query excludes.
        rank: from 1, in the order of the answer.
        score: what the order is by, which `ranking` of the answer puts in words; None where it was left unscored, and stands below.
        rerank_score: as the reranker gave it, a raw logit for most; None where it did not score.
        rerank_probability: the same as a chance of being relevant, 0 to 1; None where the reranker did not score, has no map to
            probabilities, or can read nothing of it.
    """

    rank: int
    score: float | None
    rerank_score: float | None
    rerank_probability: float | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to a query, and an account of how it came about.

    Attributes:
        query: what was looked for.
        hits: passages, best first.
        rerank_status: "full"; "partial", only the first candidates were scored; "skipped", none was; or "failed", the reranker did.
            What was not scored keeps retrieval order, below.
        reason: why the status is not "full"; empty if it is.
        ranking: what the score of a hit means here, in words.
        embedder: the name of the first stage's model.
        reranker: of the second's; None where nothing was to be reranked.
        device: where the embedder ran: "cpu" or "cuda".
        rerank_device: where the reranker ran: the same, or "remote"; None where nothing was to be reranked.
        timings_ms: milliseconds of each stage: embed, retrieve, rerank, and total.
        retrieval: how candidates were found: "hybrid", "dense" or "lexical".
        retrieval_ranking: what retrieval order is by, in words.
        warnings: what else should be known of the answer, each in a sentence.
        reranked: candidates that the reranker scored.
        rerank_tokens: tokens of them that it read.
        empty_because: why there is no hit, in words; empty if there is one.
    """

    query: str
    hits: tuple[Hit, ...]
    rerank_status: RerankStatus
    reason: str
    ranking: str
    embedder: str
    reranker: str | None
    device: str
    rerank_device: str | None
    timings_ms: Mapping[str, float]
    retrieval: Retrieval = "dense"
    retrieval_ranking: str = "cosine similarity"
    warnings: tuple[str, ...] = ()
    reranked: int = 0
    rerank_tokens: int = 0
    empty_because: str = ""

    def context(
        self,
        *,
        max_tokens: int = MAX_TOKENS,
        tokenizer: "Tokenizer | None" = None,
        form: Form = "text",
        metadata: bool = True,
    ) -> Context:
        """What a language model gets of it: its passages within a budget, numbered to be cited. See search.context.

        Args:
            max_tokens: for all that is handed over, numbers, headings and prompt included.
            tokenizer: whose tokens they are: the path of a `tokenizer.json`, a function from a text to a number or a list of
                tokens, or None for characters ÷ 4.
            form: "text"; "markdown"; or "messages", for a chat, with a prompt that asks for citations.
            metadata: whether the short metadata of records, such as a price, stands beside their text; see search.context.facts.

        Raises:
            InvalidQuery: a budget that holds not even the first passage's citation, or a tokenizer that is none.
        """
        from search.context.building import build
        from search.context.counting import counter

        budget = checked_whole("max_tokens", max_tokens)
        if budget < 1:
            raise InvalidQuery(f"max_tokens is {budget}; give some hundreds at least")
        if form not in get_args(Form):
            raise InvalidQuery(f"form is {form!r:.100}; it can be 'text', 'markdown' or 'messages'")
        check_flags(metadata=metadata)
        return build(self.query, self.hits, budget, counter(tokenizer), form, metadata=metadata)

    def to_dict(self) -> dict[str, Json]:
        """The same as plain data, ready for `json.dumps`."""
        plain = asdict(self)
        for hit, values in zip(self.hits, plain["hits"], strict=True):
            values["truncated"] = hit.truncated
        return plain


@dataclass(frozen=True, slots=True)
class RankedText:
    """A text with the score of the reranker.

    Attributes:
        index: from 0, among the texts that were given.
        score: as the reranker gave it, a raw logit for most.
        probability: the same as a chance of being relevant, 0 to 1; None where there is no map, or nothing that it can read.
        tokens_seen: tokens of it that the reranker read.
        tokens_total: all that it has.
        text: as it was given.
    """

    index: int
    score: float
    probability: float | None
    tokens_seen: int
    tokens_total: int
    text: str


@dataclass(frozen=True, slots=True)
class RerankResult:
    """Texts in the order of the reranker's score, best first, and an account of how it came about.

    Attributes:
        query: what they were judged against.
        query_tokens_seen: tokens of the query that the reranker read.
        query_tokens_total: all that it has.
        reranker: the name of the model.
        device: where it ran: "cpu", "cuda" or "remote".
        verified: whose golden scores the reranker gave when it was loaded; "" if nobody's but its own.
        results: the texts, best first.
        warnings: what the reranker did not read, each in a sentence.
    """

    query: str
    query_tokens_seen: int
    query_tokens_total: int
    reranker: str
    device: str
    verified: str
    results: tuple[RankedText, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Json]:
        """The same as plain data, ready for `json.dumps`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A document that was not taken, and why. Nothing else of its source is lost.

    Attributes:
        source: a file, "stdin" or "documents".
        line: from 1; None where the source has no lines.
        document_id: which document; None where that is not known.
        reason: why, and what to do about it.
        content: the document, to be written into a file of rejects; None where there is none to write.
    """

    source: str
    line: int | None
    document_id: str | None
    reason: str
    content: Mapping[str, Json] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        try:
            json.dumps(self.content)
        except (TypeError, ValueError, RecursionError):  # left out as a whole: what JSON has not would come back as something else
            object.__setattr__(self, "content", None)

    @classmethod
    def of(cls, document: Document, reason: str) -> "Rejection":
        """Reject a document that was read without a fault."""
        names = ("id", "text", "title", "metadata", "media_type", "modified")
        content = {name: getattr(document, name) for name in names}
        source, _, line = document.origin.rpartition(":")
        if source and line.isdecimal():
            return cls(source, int(line), document.id, reason, content)
        return cls(document.origin, None, document.id, reason, content)

    @classmethod
    def repeated(cls, document: Document, folder: str) -> "Rejection":
        """Reject one whose id was taken in the same run, from a folder that is known by its hash, if it was from one."""
        mended = ""
        if folder != document.folder:
            mended = "; ingest the other by itself with a --prefix to keep both"
        elif document.folder and "/" not in document.folder:  # else it is a row, and so is the first one
            mended = "; name a file or its folder, and each once"
        return cls.of(document, f"the id stands twice in this run; the first one was taken{mended}")

    def to_dict(self) -> dict[str, Json]:
        """Where it was and why, as plain data."""
        return {"source": self.source, "line": self.line, "document_id": self.document_id, "reason": self.reason}

    def to_line(self) -> str:
        """A line of JSON with what was rejected and why, which can be ingested again."""
        return json.dumps({"rejected": self.to_dict(), **(self.content or {})}, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        if not self.document_id:
            return f"{place}: {self.reason}"
        name, called = listed([self.document_id]), f"document {listed([self.document_id])!r} "
        reason = f"it {self.reason.removeprefix(called)}" if self.reason.startswith(called) else self.reason
        return f"{place}: {reason}" if self.document_id == place else f"{place} ({name}): {reason}"


def listed(names: Sequence[str]) -> str:
    """Names in a message, which nobody reads to its end if there are thousands, or if one is a book."""
    shown = [name if len(name) <= _LONGEST_PATH else f"{name[:_LONGEST_PATH]}…" for name in names[:_LISTED]]
    return ", ".join(shown) + (f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else "")


class Number(int):
    """How many there are.

    Attributes:
        warnings: where nothing passes a filter, the fields that it asks about and no document has, or has otherwise.
    """

    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, number: int, warnings: Iterable[str] = ()) -> "Number":
        """A number with what is to be said of it."""
        counted = cls(number)
        counted.warnings = tuple(warnings)
        return counted


def counted(number: int, one: str, several: str = "") -> str:
    """A number with what it counts, such as "1 passage" and "2,000 passages"; `several` words, where these take more than an s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def check_query(query: str) -> None:
    """Refuse what no model can read.

    Raises:
        InvalidQuery: an empty query, one that UTF-8 cannot store, or something that is no text.
    """
    if not isinstance(query, str):
        raise InvalidQuery(f"the query is a {type(query).__name__}; give it as a string")
    if not query.strip():
        raise InvalidQuery("the query is empty; ask something")
    if not encodable(query):
        raise InvalidQuery("the query holds half of a surrogate pair; re-encode it")


def checked_whole(name: str, value: Any) -> int:
    """A whole number, such as a limit.

    Raises:
        InvalidQuery: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidQuery(f"{name} is {_short(value)}; give a whole number")
    return int(value)


def check_number(name: str, value: Any) -> None:
    """Refuse what is no number.

    Raises:
        InvalidQuery: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidQuery(f"{name} is {_short(value)}; give a number")


def check_flags(**flags: Any) -> None:
    """Refuse what is neither True nor False: "no" would count as true.

    Raises:
        InvalidQuery: one is not; the message names it.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise InvalidQuery(f"{name} is a {type(value).__name__}; it can be True or False")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"a {type(value).__name__}"


def encodable(text: str) -> bool:
    """Whether UTF-8 can store a text: half of a surrogate pair it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def half_surrogate(value: Json) -> str | None:
    """Where plain data holds half of a surrogate pair, such as "filter.must[0].key"; None where UTF-8 can store all of it."""
    found = first_where(value, lambda one: isinstance(one, str) and not encodable(one))
    return None if found is None else found[0]


def first_where(value: Json, is_meant: Callable[[Json], bool]) -> tuple[str, Json] | None:
    """The place in plain data, and the value, or the name of one, that is meant; None where none is."""
    steps: list[str] = []  # to the current value; only the path that is returned is joined, since names may be long
    open_values: list[tuple[int, Any, Json]] = [(0, None, value)]  # how deep a value is, and its name or number there
    while open_values:
        depth, name, inner = open_values.pop()
        if name is not None:
            steps[depth - 1 :] = [f"[{name}]" if isinstance(name, int) else f".{_printable(name[:_LONGEST_PATH])}"]
        if is_meant(inner):
            path = "".join(steps[:depth]).removeprefix(".")
            return path if len(path) < _LONGEST_PATH else path[:_LONGEST_PATH] + "…", inner
        match inner:
            case Mapping():
                open_values += [(depth, None, key) for key in inner]
                open_values += [(depth + 1, str(key), one) for key, one in inner.items()]
            case list() | tuple():
                open_values += [(depth + 1, number, one) for number, one in enumerate(inner)]
    return None


def repeated_name(names: Iterable[str]) -> str:
    """The name that stands most often among those of an object, as a message may hold it."""
    return _printable(Counter(names).most_common(1)[0][0][:_LONGEST_PATH])


def without_repeats(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    """An object of JSON; of a name that stands in it twice, Python would forget the first.

    Raises:
        ValueError: one does.
    """
    whole = dict(pairs)
    if len(whole) < len(pairs):
        raise ValueError(f"{repeated_name(name for name, _ in pairs)!r} stands twice in one object")
    return whole


Item = TypeVar("Item")


def checked_documents(documents: Iterable[Item], kinds: tuple[type, ...] = (Document,)) -> Iterator[Item]:
    """The same items; the first that is of none of the kinds raises.

    Raises:
        InvalidDocument: the argument is no list, or an item of it no document.
    """
    unchecked: Any = documents
    if isinstance(unchecked, Document | str | bytes | Mapping) or not isinstance(unchecked, Iterable):
        raise InvalidDocument(f"documents is a list of Document, not a {type(unchecked).__name__}")
    for number, item in enumerate(documents):
        check_document(item, number, kinds)
        yield item


def check_document(item: object, number: int, kinds: tuple[type, ...]) -> None:
    """Refuse what of some documents is of none of the kinds.

    Raises:
        InvalidDocument: it is something else.
    """
    if not issubclass(type(item), kinds):
        raise InvalidDocument(f"documents[{number}] is a {type(item).__name__}; make it a Document(id=…, text=…)")


def check_strings(values: Iterable[str], name: str, kind: str) -> list[str]:
    """Several strings, such as ids; messages name the argument, and the kind of strings.

    Raises:
        InvalidQuery: a single string in place of a list, or a value that is no string.
    """
    unchecked: Json = values
    if isinstance(unchecked, str):
        raise InvalidQuery(f"{name} is a list of {kind}; write [{unchecked[:_LONGEST_PATH]!r}]")
    if isinstance(unchecked, bytes | Mapping) or not isinstance(unchecked, Iterable):
        raise InvalidQuery(f"{name} is a list of {kind}, not a {type(unchecked).__name__}")
    checked = list(values)
    for number, one in enumerate(checked):
        if not isinstance(one, str):
            raise InvalidQuery(f"{name}[{number}] is a {type(one).__name__}; {kind} are strings")
        if not encodable(one):
            raise InvalidQuery(f"{name}[{number}] holds half of a surrogate pair; re-encode it")
    return checked


def checked_ids(ids: Iterable[str], filter: object) -> list[str]:
    """The ids of documents that are meant; none where a filter says which.

    Raises:
        InvalidQuery: a single string in place of a list, a value that is no string, or a filter beside them.
    """
    checked = check_strings(ids, "ids", "document ids")
    if checked and filter is not None:
        raise InvalidQuery(
            "name documents by ids or by a filter, not by both; for those of some ids that pass a filter, add to its must "
            '{"key": "document_id", "match": {"any": ["…"]}}'
        )
    return checked


def _printable(key: Any) -> str:
    return str(key).encode(errors="backslashreplace").decode()


def checked_json(value: Json, *steps: Any) -> Json:
    """A copy of plain data, which nobody else can change.

    Steps are the field, and the names and numbers that lead from there to the value; they are joined only for a message.

    Raises:
        InvalidDocument: JSON, or Qdrant, cannot hold it.
    """
    problem = f"is nested more than {_DEEPEST} levels deep; flatten it" if len(steps) > _DEEPEST + 1 else _problem(value)
    if problem:
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
        raise InvalidDocument(f"{listed([path])} {problem}")
    match value:
        case Mapping():
            return {key: checked_json(inner, *steps, key) for key, inner in value.items()}
        case list() | tuple():
            return [checked_json(inner, *steps, number) for number, inner in enumerate(value)]
        case _:
            return value


def _problem(value: Json) -> str:
    """Why JSON, or Qdrant, cannot hold this value; what is inside it is not looked at."""
    match value:
        case None | bool() | list() | tuple():
            return ""
        case int():
            return "" if -(2**63) <= value < 2**63 else "is beyond 64 bits; write it as a string"
        case float():
            return "" if math.isfinite(value) else f"is {value}, which JSON cannot hold; use null or leave it out"
        case str():
            return "" if encodable(value) else "holds half of a surrogate pair"
        case Mapping():
            wrong = [key for key in value if not isinstance(key, str) or not encodable(key)]
            return f"has the key {str(wrong[0])[:_LONGEST_PATH]!r}; keys must be strings that UTF-8 can store" if wrong else ""
        case _:
            return f"is a {type(value).__name__}; use strings, numbers, booleans, null, lists and objects"
