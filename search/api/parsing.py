"""How does a body become a request? Counted, parsed and validated, large ones one at a time and away from the event loop.

A few bytes of JSON can stand for a hundred of memory, and validating takes a hundred times as long as reading. What a body holds is
counted before anything is made of it, so that the rest is short.
"""

import asyncio
import functools
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from search.api.errors import Refused
from search.documents import first_where, half_surrogate, repeated_name

_LARGE = 65_536  # bytes; less is parsed in a few milliseconds
_MOST_VALUES = 200_000  # numbers, strings, lists and objects in one body: 10 ms of parsing
_LONGEST_NAME = 80  # in messages
_STRING = re.compile(rb'"[^"]*"')
DIALECTS = {"TEI": "tei", "Cohere": "rerank"}  # tags of formats, and how search.api.errors calls them
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # each half of a pair can only come in as an escape


def parsed_route(thread: Executor, *, others_query: bool = False) -> type[APIRoute]:
    """The class of routes whose bodies are parsed here, large ones in that thread, one after the other.

    With `others_query`, parameters in the address pass that the route does not have, such as an api-version.
    """

    class Parsed(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            known = {parameter.alias for parameter in self.dependant.query_params}

            async def parsed(request: Request) -> Response:
                if not others_query and (unknown := [name for name in request.query_params if name not in known]):
                    there_are = ", ".join(sorted(known)) or "none, and what is sent stands in its body"
                    message = f"there is no parameter {unknown[0][:_LONGEST_NAME]!r} in this address; there are {there_are}"
                    raise Refused(422, "InvalidRequest", message)
                sent = [name for name, _ in request.query_params.multi_items()]
                if not others_query and len(set(sent)) < len(sent):
                    raise Refused(422, "InvalidRequest", f"{repeated_name(sent)} stands twice in this address; send it once")
                return await handle(_ParsedRequest(request, self.body_field, thread))

            return parsed

    return Parsed


class _ParsedRequest(Request):
    """A request whose `json` is what its route takes, validated."""

    def __init__(self, request: Request, field: Any, thread: Executor) -> None:
        super().__init__(request.scope, request.receive)
        self._field = field
        self._thread = thread

    async def json(self) -> Any:
        content = await self.body()
        if len(content) < _LARGE:
            value, errors = _parsed(content, self._field)
        else:
            value, errors = await asyncio.get_running_loop().run_in_executor(self._thread, _parsed, content, self._field)
        if errors:
            raise RequestValidationError([self._without_tag(error) for error in errors])
        return value

    def _without_tag(self, error: dict[str, Any]) -> dict[str, Any]:
        """A fault as the kind of client that sent it expects it: where a route takes two formats, its place begins with which."""
        where, *place = error["loc"]
        if not place or place[0] not in DIALECTS:
            return error
        self.state.dialect = DIALECTS[place[0]]
        return {**error, "loc": (where, *place[1:])}


@dataclass(frozen=True, slots=True)
class _Repeated:
    """In the place of an object in which a name stands twice: no field takes it."""

    name: str


def repeated(value: Any) -> str | None:
    """The place of a name that stands twice in an object of what was parsed here, such as "filter.must"; None if none does."""
    found = first_where(value, lambda one: isinstance(one, _Repeated))
    return None if found is None else f"{found[0]}.{found[1].name}".removeprefix(".")


def _object(all_repeated: list[_Repeated], pairs: list[tuple[str, Any]]) -> Any:
    whole = dict(pairs)
    if len(whole) == len(pairs):
        return whole
    all_repeated.append(_Repeated(repeated_name(name for name, _ in pairs)))
    return all_repeated[-1]


def _parsed(content: bytes, field: Any) -> tuple[Any, list[Any]]:
    """The value that a route's field takes, and what is wrong with it.

    Raises:
        Refused: there is too much in it, a name twice in one object, or what cannot be read or stored.
        json.JSONDecodeError: it is no JSON.
    """
    try:
        return _validated(content, field)
    except UnicodeDecodeError as error:
        message = f"the body is no UTF-8 at byte {error.start + 1}; send JSON in UTF-8"
    except RecursionError:
        message = "the body is nested too deeply; flatten it"
    raise Refused(422, "InvalidRequest", message)


def _validated(content: bytes, field: Any) -> tuple[Any, list[Any]]:
    if _values_in(content) > _MOST_VALUES:
        message = f"the request holds more than {_MOST_VALUES:,} values, such as numbers and strings; send it in parts"
        raise Refused(422, "InvalidRequest", message)
    all_repeated: list[_Repeated] = []
    text = content.decode("utf-8-sig")  # strictly, where json.loads of bytes would let half of a pair pass
    try:
        value = json.loads(text, object_pairs_hook=functools.partial(_object, all_repeated))
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # beyond sys.get_int_max_str_digits()
        message = "the body holds a whole number that is too long; send it as text"
        raise Refused(422, "InvalidRequest", message) from error
    if all_repeated and (name := repeated(_own(value, field))) is not None:
        raise Refused(422, "InvalidRequest", f"{name} stands twice in one object; send it once")
    if _SURROGATE.search(content) and (place := half_surrogate(_own(value, field))) is not None:
        message = f"{place or 'the request'} holds half of a surrogate pair, which UTF-8 cannot store; re-encode it"
        raise Refused(422, "InvalidRequest", message)
    if value is None:
        return None, []
    validated, faults = field.validate(value, {}, loc=("body",))
    return validated, [{**fault, "loc": _place(fault, value)} for fault in faults]


def _place(fault: Mapping[str, Any], value: Any) -> tuple[str | int, ...]:
    """Where a fault is in what was sent, without the kinds that a value might have been of, but for a DIALECT."""
    where, *steps = fault["loc"]
    absent = [steps.pop()] if fault["type"] == "missing" else []
    place = [steps.pop(0)] if steps and steps[0] in DIALECTS else []
    for step in steps:
        if (isinstance(value, dict) and step in value) or (isinstance(value, list) and isinstance(step, int)):
            place.append(step)
            value = value[step]
    return (where, *place, *absent)


def _values_in(content: bytes) -> int:
    """How many values a body holds: at most, or, where that is many, without what only stands in strings."""
    if (bound := _marks(content)) <= _MOST_VALUES:
        return bound
    plain = content.replace(rb"\\", b"").replace(rb"\"", b"")  # what quotes are left begin and end strings
    if (strings := plain.count(b'"') // 2) > 2 * _MOST_VALUES:
        return strings  # names of fields, too
    return _marks(_STRING.sub(b"", plain))


def _marks(content: bytes) -> int:
    return 1 + content.count(b"[") + content.count(b"{") + content.count(b",")


def _own(value: Any, field: Any) -> Any:
    """What the whole request answers for: a list whose items are taken or rejected each by itself is left out."""
    apart = getattr(field.field_info.annotation, "apart", None)
    return {name: item for name, item in value.items() if name != apart} if apart and isinstance(value, dict) else value
