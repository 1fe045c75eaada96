"""What do the lines of a roff text ask for? Its language: macros, strings, numbers and conditions, as a terminal gets them.

What a text defines may grow without end; what it comes to in all is bounded.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from search.errors import InvalidDocument
from search.reading.manuals.glyphs import character, glyph

_CONTROL = re.compile(r"[.'][ \t]*([^ \t\\]*)[ \t]*(.*)", re.DOTALL)
_COMMENT = re.compile(r"[.'][ \t]*\\[\"#]")
_REMARK = re.compile(r"\\[\"#].*", re.DOTALL)
_JOINED = re.compile(r"(?<!\\)(?:\\\\)*\\\Z")  # the end of a line that goes on in the next one
_NAMED = r"(?:\((?P<two>..)|\[(?P<long>[^\]\n]{0,200})\]|(?P<one>.))"
_INTERPOLATED = re.compile(
    rf"\\(?:(?P<kind>[*$]|n(?P<sign>[+-]?)){_NAMED}|(?P<comment>[\"#]).*|w(?P<quote>[^\w\s]).{{0,200}}?(?P=quote)|.)", re.DOTALL
)
_BRACE = re.compile(r"\\([{}\"]|.)", re.DOTALL)
_ARGUMENT = re.compile(r" *(?:\"((?:[^\"]|\"\")*+)\"?|((?:\\.|[^ \\]|\\\Z)++))", re.DOTALL)
_COMPARED = re.compile(r"([^\w\s.\\(+-])(.{0,500}?)\1(.{0,500}?)\1", re.DOTALL)
_ASKED = re.compile(r"([dr])[ \t]*([^ \t]+)|([cFmS])[ \t]*[^ \t]+")  # whether something is defined
_NUMBER = re.compile(r"[-+*/%<>=&:()!.\d|?;]*(?:(?<=\d)[cdfimMnpPsuvz]?[-+*/%<>=&:()!.\d|?;]*)*")
_FEW = re.compile(r"\d{1,3}")
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)[a-zA-Z]?|(<=|>=|==|<>|[-+*/%<>=&:()!])")
_OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
    "%": operator.mod,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
    "==": operator.eq,
    "<=": operator.le,
    ">=": operator.ge,
    "<>": operator.ne,
    "&": lambda left, right: left > 0 and right > 0,
    ":": lambda left, right: left > 0 or right > 0,
    "!": lambda _, right: right <= 0,
}
_LARGEST = 1e9
_REGISTERS = {".g": 1, ".H": 24, ".V": 40, ".l": 1872, ".x": 1, ".y": 22, ".u": 1}  # of a terminal and of groff
_TABLE = """
Aq ' lq “ rq ” R ® Tm ™ q " Lq “ Rq ” Gt > Lt < Ge ≥ Le ≤ Ne ≠ Pi π Ba | Am & If infinity Na NaN Pm ± ga `
ua ↑ .T utf8 <= ≤ >= ≥ ` `
"""  # names of strings that the macros of manuals define, each with what it stands for
_STRINGS = dict(zip(_TABLE.split()[::2], _TABLE.split()[1::2], strict=True))
_DEEPEST = 30  # macros, strings and conditions in each other
_STEPS, _FEWEST_STEPS = 30, 100_000  # lines and characters that are read of each that there is, and of any text
_ESCAPE = re.compile(
    r"\\(?:\((?P<two>..)|\[(?P<name>[^\]\n]{0,200})\]|C'(?P<quoted>[^'\n]{0,200})'|N'(?P<number>\d{1,7})'"
    r"|[fFmMgkVY](?:\(..|\[[^\]\n]{0,200}\]|.)|s(?:[+-]?(?:\([+-]?..|\[[^\]\n]{0,20}\]|'[^'\n]{0,20}')|[+-]\d|[1-3]\d|\d)"
    r"|h(?P<quote>[^\w\s])(?P<motion>.{0,200}?)(?P=quote)|[vlLDxXRSHBAb](?P<other>[^\w\s]).{0,200}?(?P=other)"
    r"|[oZ](?P<over>[^\w\s])(?P<shown>.{0,200}?)(?P=over)|(?P<sign>.)|\Z)",
    re.DOTALL,
)
_SIGNS = {  # of one character
    **dict.fromkeys(" ~0t", " "),
    **dict.fromkeys("|^&)%:/,{}udrpazE!?\n", ""),
    "e": "\\",
    "E": "\\",
    "-": "-",
    "'": "'",
    "_": "_",
    "c": "\0",  # which `Roff.plain` tells
}


class Macros(Protocol):
    """What takes the lines of a text."""

    names: frozenset[str]  # of what it knows …
    fixed: frozenset[str]  # … and of these, what no text defines anew

    def text(self, line: str) -> None:
        """A line of text, with its escapes."""

    def call(self, name: str, rest: str) -> None:
        """A macro or a request, with what stands behind its name, and its escapes."""


class _Frame:
    """Lines that are read, and the arguments of the macro that they are."""

    def __init__(self, lines: Sequence[str], arguments: Sequence[str] = (), name: str = "") -> None:
        self.lines, self.arguments, self.name = lines, list(arguments), name
        self.at = 0
        self.endless = set[str]()  # ends that no line is from here on


class Roff:
    """Reads lines, and hands on what remains to be set."""

    def __init__(self, macros: Macros, size: int) -> None:
        """Begin.

        Args:
            macros: what takes the lines.
            size: characters of the text.
        """
        self._macros = macros
        self._frames = list[_Frame]()
        self._strings, self._defined, self._registers = dict(_STRINGS), dict[str, list[str]](), dict(_REGISTERS)
        self._aliases = dict[str, str]()
        self._translated = dict[int, str]()
        self._untaken = list[bool]()  # of each condition with an `el` that may come, whether that counts
        self._control = "."  # what lines begin with that are no text
        self._left = _STEPS * size + _FEWEST_STEPS
        self._requests: dict[str, Callable[[str], None]] = {
            "cc": self._begin_control,
            "nr": self._number,
            "rm": self._remove,
            "rn": self._rename,
            "als": self._alias,
            "tr": self._translate,
            "return": self._return,
            "shift": self._shift,
        }

    def run(self, lines: Sequence[str]) -> None:
        """Read some lines to their end.

        Raises:
            InvalidDocument: they come to more than a text of this size does.
        """
        depth = len(self._frames)
        self._push(_Frame(lines))
        while len(self._frames) > depth:
            frame = self._frames[-1]
            if frame.at < len(frame.lines):
                self._line(self._next(frame))
            elif self._frames:
                self._frames.pop()

    def until(self, end: str) -> list[str]:
        """The lines up to one that calls this name, which is read, too; none where there is no such line."""
        frame = self._frames[-1] if self._frames else _Frame(())
        if end in frame.endless:
            return []
        is_end = re.compile(rf"[.'][ \t]*{re.escape(end)}(?:[ \t\\]|\Z)").match
        for at in range(frame.at, len(frame.lines)):
            if is_end(frame.lines[at]):
                lines, frame.at = list(frame.lines[frame.at : at]), at + 1
                self._take(sum(map(len, lines)) + len(lines))
                return lines
        self._take(len(frame.lines) - frame.at)  # which were searched
        frame.endless.add(end)
        return []

    def plain(self, text: str) -> str:
        """Text without escapes. What ends with a zero byte goes on in the next line."""
        if "\\" in text:
            text = _ESCAPE.sub(_sign, text)
        return text.translate(self._translated) if self._translated else text

    def expanded(self, line: str) -> str:
        """With what strings and numbers stand for, and without comments."""
        return self._expanded(line, 0) if "\\" in line else line

    def _push(self, frame: _Frame) -> None:
        if len(self._frames) < _DEEPEST:
            self._frames.append(frame)

    def _next(self, frame: _Frame) -> str:
        line = frame.lines[frame.at]
        frame.at += 1
        if line.endswith("\\") and not _COMMENT.match(line):
            parts = []
            while _JOINED.search(line) and frame.at < len(frame.lines):
                parts.append(line[:-1])
                line = frame.lines[frame.at]
                frame.at += 1
            line = "".join([*parts, line])
        self._take(len(line) + 1)
        if self._control != ".":
            return (
                f".{line[1:]}" if line.startswith(self._control) else line.replace(".", "\\&.", 1) if line.startswith(".") else line
            )
        return line

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise InvalidDocument("its macros come to more than a page has; leave it out, or convert it to text")

    def _line(self, line: str, depth: int = 0) -> None:
        """Do what a line asks for."""
        if not line.startswith((".", "'")):
            shown = self.expanded(line)
            if shown.strip() or not line.strip():
                self._macros.text(shown)
            return
        if _COMMENT.match(line):
            return
        found = _CONTROL.match(line)
        name, rest = (found[1], found[2]) if found else ("", "")
        if rest.startswith("\\") and not name:
            again = _CONTROL.match(self.expanded(line).replace("\\}", "").replace("\\{", ""))
            name, rest = (again[1], again[2]) if again else ("", "")
        name = self._aliases.get(name, name)
        if name in {"if", "ie", "el", "while"} and depth < _DEEPEST:
            self._condition(name, rest, depth)
        elif name in {"ds", "as", "ds1", "as1", "de", "de1", "am", "am1", "ig"}:
            self._define(name, rest)
        elif name:
            self._call(name, self.expanded(rest).replace("\\}", "").rstrip("\n"), depth)

    def _call(self, name: str, rest: str, depth: int) -> None:
        if name in self._defined and name not in self._macros.fixed:
            self._push(_Frame(self._defined[name], arguments(rest), name))
        elif name in self._macros.names:
            self._macros.call(name, rest)
        elif name in {"nop", "do"}:
            if depth < _DEEPEST:
                self._line(rest if name == "nop" else f".{rest}", depth + 1)
        elif name in self._requests:
            self._requests[name](rest)

    def _begin_control(self, rest: str) -> None:
        self._control = rest[:1] or "."

    def _number(self, rest: str) -> None:
        name, value, *_ = [*rest.split(), "", ""]
        before = self._registers.get(name, 0) if value.startswith(("+", "-")) else 0
        self._registers[name] = before + _evaluated(value)

    def _remove(self, rest: str) -> None:
        for name in rest.split():
            self._defined.pop(name, None)
            self._strings.pop(name, None)

    def _rename(self, rest: str) -> None:
        old, new, *_ = [*rest.split(), "", ""]
        self._alias(f"{new} {old}")

    def _alias(self, rest: str) -> None:
        new, old, *_ = [*rest.split(), "", ""]
        if old in self._defined:
            self._defined[new] = self._defined[old]
        elif new not in self._macros.names:
            self._aliases[new] = old

    def _translate(self, rest: str) -> None:
        signs = self.plain(rest).replace("\0", "")
        self._translated |= {ord(one): other for one, other in zip(signs[::2], f"{signs} "[1::2], strict=False)}

    def _return(self, _: str) -> None:
        if self._frames[-1].name:
            self._frames.pop()

    def _shift(self, rest: str) -> None:
        del self._frames[-1].arguments[: int(rest) if _FEW.fullmatch(rest) else 1]

    def _define(self, name: str, rest: str) -> None:
        """Take a string, a macro, or lines that nobody reads."""
        if name == "ig":
            self.until(_names(f"- {rest}")[1])
        elif name.startswith(("ds", "as")):
            what, value, *_ = [*rest.replace("\t", " ", 1).split(" ", 1), ""]
            before = self._strings.get(what, "") if name.startswith("as") else ""
            self._take(len(before))
            self._strings[what] = before + self._copied(value.lstrip(" ").removeprefix('"'))
        else:
            what, end = _names(rest)
            lines = self._defined.get(what, []) if name.startswith("am") else []
            self._take(len(lines))
            self._defined[what] = [*lines, *map(self._copied, self.until(end))]

    def _copied(self, line: str) -> str:
        """As it is kept, to be read when it is used."""
        return _INTERPOLATED.sub(self._kept, line) if "\\" in line else line

    def _kept(self, found: re.Match[str]) -> str:
        if found[0] == "\\\\":
            return "\\"
        return "" if found["comment"] else self._value(found, 0) if (found["kind"] or "$") != "$" else found[0]

    def _expanded(self, line: str, depth: int) -> str:
        return _INTERPOLATED.sub(lambda found: self._value(found, depth), line)

    def _value(self, found: re.Match[str], depth: int) -> str:
        if found["comment"]:
            return ""
        if found["quote"]:
            return "24"
        if not found["kind"]:
            return found[0]
        name, *rest = (found["two"] or found["long"] or found["one"] or "").split(" ")
        if found["kind"].startswith("n"):
            return str(self._register(name, found["sign"]))
        value = self._argument(name) if found["kind"] == "$" else self._string(name, rest)
        self._take(len(value))
        return self._expanded(value, depth + 1) if "\\" in value and depth < _DEEPEST and found["kind"] == "*" else value

    def _string(self, name: str, arguments: Sequence[str]) -> str:
        value = self._strings.get(name, "")
        for number, one in enumerate(arguments, 1):
            value = value.replace(f"\\$[{number}]", one).replace(f"\\${number}", one)
        return value

    def _argument(self, name: str) -> str:
        frame = next((one for one in reversed(self._frames) if one.name), None)
        if not frame:
            return ""
        if name in {"*", "@"}:
            return " ".join(f'"{one}"' if name == "@" else one for one in frame.arguments)
        number = int(name) if name.isdecimal() else 0
        return frame.arguments[number - 1] if 0 < number <= len(frame.arguments) else "" if number else frame.name

    def _register(self, name: str, sign: str) -> int:
        if name == ".$":
            return len(next((one.arguments for one in reversed(self._frames) if one.name), ()))
        value = self._registers.get(name, 0)
        if sign:
            value = self._registers[name] = value + (1 if sign == "+" else -1)
        return value

    def _condition(self, name: str, rest: str, depth: int) -> None:
        """Read what stands behind a condition, or pass over it."""
        if name == "el":
            is_met, body = bool(self._untaken) and self._untaken.pop(), rest
        else:
            expanded = self.expanded(rest)
            is_met, body = self._is_met(expanded)
            is_met &= name != "while"  # nobody writes a manual in these
            if name == "ie":
                self._untaken.append(not is_met)
                del self._untaken[:-_DEEPEST]
        body = body.lstrip(" \t")
        if not is_met:
            self._pass_over(body)
            return
        body = body.removeprefix("\\{").lstrip(" \t")
        if body:
            self._line(body, depth + 1)

    def _pass_over(self, body: str) -> None:
        depth, frame = _depth(body), self._frames[-1]
        while depth > 0 and frame.at < len(frame.lines):
            depth += _depth(self._next(frame))

    def _is_met(self, text: str) -> tuple[bool, str]:
        """Whether a condition holds, and what stands behind it."""
        text = text.lstrip(" \t")
        if text.startswith("!"):
            is_met, rest = self._is_met_plain(text[1:].lstrip(" \t"))
            return not is_met, rest
        return self._is_met_plain(text)

    def _is_met_plain(self, text: str) -> tuple[bool, str]:
        if asked := _ASKED.match(text):
            known = asked[2] in self._defined or asked[2] in self._strings or asked[2] in self._macros.names
            is_met = known if asked[1] == "d" else asked[2] in self._registers if asked[1] else True
            return is_met, text[asked.end() :]
        if text[:1] in {"n", "t", "o", "e", "v"}:
            return text[0] in {"n", "o"}, text[1:]
        if compared := _COMPARED.match(text):
            return compared[2] == compared[3], text[compared.end() :]
        number = _NUMBER.match(text)
        end = number.end() if number else 0
        return end > 0 and _evaluated(text[:end]) > 0, text[end:]


def arguments(rest: str) -> list[str]:
    """The arguments of a macro."""
    return [one for one, _ in split(rest)]


def split(rest: str) -> list[tuple[str, bool]]:
    """The arguments of a macro, each with whether it stands in quotes."""
    found = _ARGUMENT.finditer(rest.strip("\t "))
    return [(one[2], False) if one[1] is None else (one[1].replace('""', '"'), True) for one in found]


def _names(rest: str) -> tuple[str, str]:
    """The name of a macro, and of the line that ends it."""
    names = _REMARK.sub("", rest).split()
    return "".join(names[:1]), "".join(names[1:2]) or "."


def _sign(found: re.Match[str]) -> str:
    """What an escape shows."""
    if name := found["two"] or found["name"] or found["quoted"]:
        return glyph(name)
    if found["number"]:
        return character(int(found["number"]))
    if found["motion"] is not None:
        return "" if found["motion"].startswith("-") else " "
    if found["shown"] is not None:
        return _ESCAPE.sub(_sign, found["shown"]) if len(found["shown"]) < len(found[0]) else ""
    if found["sign"]:
        return _SIGNS.get(found["sign"], found["sign"])
    return ""


def _depth(line: str) -> int:
    """How many blocks a line opens more than it closes."""
    depth = 0
    for brace in _BRACE.finditer(line) if "\\" in line else ():
        if brace[1] == '"':
            break
        depth += {"{": 1, "}": -1}.get(brace[1], 0)
    return depth


def _evaluated(text: str) -> int:
    """A number of roff: what stands there is worked out from left to right; 0 of what is none."""
    value, pending, above = 0.0, "+", list[tuple[float, str]]()
    for part in _PART.finditer(text):
        number, sign = part[1], part[2]
        if number and not pending:
            break  # behind what is one already
        if number:
            value, pending = _worked_out(value, pending, float(number)), ""
        elif sign == "(":
            above.append((value, pending or "+"))
            value, pending = 0.0, "+"
        elif sign == ")":
            before, operation = above.pop() if above else (0.0, "+")
            value, pending = _worked_out(before, operation, value), ""
        elif not pending:
            pending = sign
        elif sign == "-":
            value, pending = _worked_out(value, pending, 0), "-"  # of a number below zero, in a sum
    return int(value)


def _worked_out(left: float, operation: str, right: float) -> float:
    """The value of two; too large ones, and what cannot be divided, are bounded."""
    if operation in {"/", "%"} and not right:
        return 0.0
    return max(min(float(_OPERATIONS[operation](left, right)), _LARGEST), -_LARGEST)
