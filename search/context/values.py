"""The values of a context: its sources, what was left out, and what an answer cites. All of them frozen."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from search.errors import InvalidQuery

Form = Literal["text", "markdown", "messages"]
Reason = Literal["duplicate", "budget"]
MAX_TOKENS = 2000  # by default: ten passages of a usual length, with their citations


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A stretch of a document that stands in a context: a passage, or several that follow each other, merged.

    Attributes:
        number: what it is cited by, as in [3]; no passage and no question of the context has that number in brackets itself.
        document_id: of the document.
        title: the document's, and behind it the headings that the stretch begins under.
        headings: that it begins under, outermost first.
        page: on which it begins, from 1; None where the document has no pages.
        start: characters into the document's text at which it begins.
        end: characters into it at which it ends.
        text: as it stands there.
        metadata: the document's.
        media_type: of what it was read from.
        ranks: of the hits that it was made of, best first.
        chunk_ids: of the passages that it was made of, in the order of the text.
        cut: whether the last passage was shortened, because nothing would have fitted else.
        also: further documents that have the text of one of its passages, word for word.
    """

    number: int
    document_id: str
    title: str
    headings: tuple[str, ...]
    page: int | None
    start: int
    end: int
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    media_type: str = "text/plain"
    ranks: tuple[int, ...] = ()
    chunk_ids: tuple[str, ...] = ()
    cut: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A hit that is not in a context.

    Attributes:
        rank: of the hit, from 1.
        document_id: of its document.
        chunk_id: of the hit.
        start: characters into the document's text at which it begins.
        end: characters into it at which it ends.
        reason: "duplicate", the text of another one; or "budget", no room was left.
        words: the same in words.
    """

    rank: int
    document_id: str
    chunk_id: str
    start: int
    end: int
    reason: Reason
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a language model gets of a result.

    Attributes:
        query: what was looked for.
        form: "text", "markdown" or "messages".
        text: all of it; of messages, the contents of all, one under the other.
        messages: for a chat, with role and content each; none of the other forms.
        sources: in the order of their numbers.
        left_out: hits that are not in it, and why.
        tokens: of all that is handed over, numbers, headings and prompt included; what a chat's template adds is not known here.
        max_tokens: the budget, which they never exceed.
        counted_by: what tokens are here.
    """

    query: str
    form: Form
    text: str
    messages: tuple[Mapping[str, str], ...]
    sources: tuple[Source, ...]
    left_out: tuple[LeftOut, ...]
    tokens: int
    max_tokens: int
    counted_by: str

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The context that `to_dict` gave, or `search context --json`, or `POST /v1/context`, whose other names are passed over.

        Raises:
            InvalidQuery: it is none; the message says where.
        """
        if not isinstance(value, Mapping):
            raise _no_context(f"it is a {type(value).__name__}")
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_json(json.dumps(dict(value)), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise _no_context(f"{where}: {first['msg']}") from error
        except (TypeError, ValueError, RecursionError) as error:
            raise _no_context(f"it is no JSON ({error})") from error


def _no_context(reason: str) -> InvalidQuery:
    return InvalidQuery(f"this is no context: {reason}; give what search context --save or --json wrote, or to_dict returned")


@dataclass(frozen=True, slots=True)
class Citation:
    """A number in brackets in an answer.

    Attributes:
        number: as it stands there.
        start: characters into the answer at which the brackets begin.
        end: characters into it at which they end.
        source: what it leads to; None where it cites nothing.
    """

    number: int
    start: int
    end: int
    source: Source | None


@dataclass(frozen=True, slots=True)
class Citations:
    """What an answer cites, in its order.

    Attributes:
        resolved: numbers that lead to a source.
        unresolved: numbers that cite nothing.
    """

    resolved: tuple[Citation, ...]
    unresolved: tuple[Citation, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that the answer cites, each once, in the order in which it does."""
        return tuple({one.number: one.source for one in self.resolved if one.source is not None}.values())

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, ready for `json.dumps`."""
        return asdict(self)
