"""Which paths does a pattern mean? Lines of a .gitignore file as git reads them, and globs such as notes/**/*.md.

Each pattern becomes a regular expression in which nothing that has matched is tried again (atomic groups). That loses no match,
since the first place where a part between two stars fits leaves the most room for the rest; and it bounds the time by the length
of the path times that of the pattern, where "*a*a*a*a*b" would otherwise take minutes for one name.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

_LONGEST = 4096  # characters of a pattern: no path is longer
_PIECE = re.compile(r"\[[!^]?\]?(?:\\.|\[:[a-z]+:\]|[^\]\\])*+\]|\\.|.", re.DOTALL)
_DEEPER = r"(?:[^/]++/)"  # one folder
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r" \t-\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class UnusablePattern(ValueError):
    """A pattern that can match nothing; the message says why."""


class _Rule(NamedTuple):
    regex: re.Pattern[str]
    ignores: bool  # or takes back what an earlier line ignores
    folders_only: bool
    by_name: bool  # compared with the last part of a path


class IgnoreRules:
    """What the lines of an ignore file say.

    Attributes:
        unusable: lines that can match nothing, with the reason; git passes over them, too.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.unusable: list[tuple[str, str]] = []
        self._rules: list[_Rule] = []
        for line in lines:
            try:
                rule = _rule(line)
            except UnusablePattern as error:
                self.unusable.append((line, str(error)))
            else:
                self._rules += [rule] if rule else []

    def __bool__(self) -> bool:
        """Whether they say anything."""
        return bool(self._rules)

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether a path is ignored; None where no line speaks of it. What is inside an ignored folder is not looked at."""
        name = path.rpartition("/")[2]
        for rule in reversed(self._rules):
            if (is_folder or not rule.folders_only) and rule.regex.fullmatch(name if rule.by_name else path):
                return rule.ignores
        return None

    def ignores(self, path: str) -> bool:
        """Whether a file or a folder above it is ignored."""
        parts = path.split("/")
        return any(self.verdict("/".join(parts[:end]), is_folder=end < len(parts)) for end in range(1, len(parts) + 1))


def glob(pattern: str) -> re.Pattern[str]:
    """A pattern of paths, to be matched with a whole one; ** stands for any folders."""
    try:
        return re.compile(_path(pattern.split("/"), escapes=False))
    except UnusablePattern:
        return re.compile(r"(?!)")  # which matches nothing


def _rule(line: str) -> _Rule | None:
    """A line of an ignore file; None if it is empty or a comment."""
    pattern = _without_trailing_spaces(line.removesuffix("\r"))
    if not pattern or pattern.startswith("#"):
        return None
    negated = pattern.startswith("!")
    pattern = pattern[negated:]
    if len(pattern) > _LONGEST:
        raise UnusablePattern("it is longer than any path")
    folders_only = pattern.endswith("/")
    pattern = pattern[:-1] if folders_only else pattern
    by_name = "/" not in pattern
    regex = _segment(pattern, escapes=True) if by_name else _path(_parts(pattern.removeprefix("/")), escapes=True)
    return _Rule(re.compile(regex), not negated, folders_only, by_name) if pattern else None


def _parts(pattern: str) -> list[str]:
    """A pattern at its slashes, but for those in brackets or behind a backslash."""
    parts = [""]
    for match in _PIECE.finditer(pattern):
        if match[0] == "/":
            parts.append("")
        else:
            parts[-1] += match[0]
    return parts


def _without_trailing_spaces(line: str) -> str:
    """Spaces at the end do not count, unless a backslash stands in front of them."""
    bare = line.rstrip(" ")
    escaped = (len(bare) - len(bare.rstrip("\\"))) % 2
    return f"{bare} " if escaped and len(bare) < len(line) else bare


def _path(segments: list[str], *, escapes: bool) -> str:
    """A regular expression for a whole path."""
    groups: list[list[str]] = [[]]  # parts between two **
    for segment in segments:
        if segment == "**":
            groups.append([])
        else:
            groups[-1].append(_segment(segment, escapes=escapes))
    first, *others = ["/".join(group) for group in groups]
    if not others:
        return first
    *middle, last = others
    start = f"{first}/" if first else ""
    between = "".join(f"(?>{_DEEPER}*?{group}/)" for group in middle if group)
    return start + between + (f"{_DEEPER}*{last}" if last else r"[^/][\s\S]*")


def _segment(text: str, *, escapes: bool) -> str:
    """A regular expression for one part of a path."""
    pieces = [""]  # between two stars
    at = 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == "*":
            pieces += [""] if pieces[-1] or len(pieces) == 1 else []
        elif letter == "?":
            pieces[-1] += "[^/]"
        elif letter == "[" and (escapes or "]" in text[at + 1 :]):
            letters, at = _class(text, at, escapes=escapes)
            pieces[-1] += letters
        elif letter == "\\" and escapes:
            if at == len(text):
                raise UnusablePattern("it ends with a backslash")
            pieces[-1] += re.escape(text[at])
            at += 1
        else:
            pieces[-1] += re.escape(letter)
    first, *others = pieces
    return first + "".join(f"(?>[^/]*?{piece})" for piece in others[:-1]) + "".join(f"[^/]*{piece}" for piece in others[-1:])


def _class(text: str, at: int, *, escapes: bool) -> tuple[str, int]:
    """One letter out of those in brackets, from behind the opening one on, and where the text goes on."""
    negated = text[at : at + 1] in {"!", "^"} if escapes else text[at : at + 1] == "!"
    at += negated
    items: list[str] = []
    empty = ""  # a range that holds nothing
    first = True
    while first or text[at : at + 1] != "]":
        first = False
        named = re.compile(r"\[:([a-z]+):\]").match(text, at) if escapes else None
        if named:
            if named[1] not in _CLASSES:
                raise UnusablePattern(f"there is no class [:{named[1]}:]")
            items.append(_CLASSES[named[1]])
            at = named.end()
            continue
        low, at = _letter(text, at, escapes=escapes)
        if text[at : at + 1] == "-" and text[at + 1 : at + 2] not in {"", "]"}:
            high, at = _letter(text, at + 1, escapes=escapes)
            if low <= high:
                items.append(f"{re.escape(low)}-{re.escape(high)}")
            elif escapes:
                items.append(re.escape(low))  # as git has it, which looks for the letter before it knows of the range
            else:
                empty = f"{low}-{high}"
        else:
            items.append(re.escape(low))
    if not items and not negated:
        raise UnusablePattern(f"its range {empty} holds nothing")
    letters = "".join(items)
    return (f"(?!/)[{'^' * negated}{letters}]" if letters else "[^/]"), at + 1


def _letter(text: str, at: int, *, escapes: bool) -> tuple[str, int]:
    """The letter at a place in brackets, and where the text goes on."""
    at += escapes and text[at : at + 1] == "\\"
    if at >= len(text):
        raise UnusablePattern("its [ has no ]")
    return text[at], at + 1
