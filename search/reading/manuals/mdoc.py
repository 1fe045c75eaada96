"""What does a manual of BSD say? The macros of mdoc, of which several stand on a line."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from search.reading.manuals.macros import Macros
from search.reading.manuals.roff import split

Token = tuple[str, bool]  # words, and whether they stand in quotes

_CLOSING, _OPENING = frozenset(".,:;)]?!"), frozenset("([")
_SIGNS = _CLOSING | _OPENING | {"|"}
_AROUND = {
    "Aq": "<>",
    "Bq": "[]",
    "Brq": "{}",
    "Dq": "“”",
    "Op": "[]",
    "Pq": "()",
    "Qq": '""',
    **dict.fromkeys(("Ql", "Sq"), "\u2018\u2019"),
}
_BEGIN = {"Ao": "<", "Bo": "[", "Bro": "{", "Do": "“", "Oo": "[", "Po": "(", "Qo": '"', "So": "\u2018", "Xo": ""}
_END = {"Ac": ">", "Bc": "]", "Brc": "}", "Dc": "”", "Oc": "]", "Pc": ")", "Qc": '"', "Sc": "\u2019", "Xc": ""}
_SYSTEMS = {"Ux": "UNIX", "Fx": "FreeBSD", "Nx": "NetBSD", "Ox": "OpenBSD", "Dx": "DragonFly", "Bsx": "BSD/OS"}
_WORDS = "Ad An Ar Cd Cm Dv Em Er Ev Fa Ft Ic Li Ms No Pa Sx Sy Tn Va Vt"
_CALLED_OTHERS = "Ap At Ec En Eo Es Fc Fl Fn Fo Lk Mt Nm Ns Ot Pf St Ta Xr"
_ALONE = "Bt Ex Fd Hf In Lb Nd Rv Sm Ud"  # which stand at the beginning of a line only
_BLOCKS = "Dd Dt Os Sh Ss Pp Lp Bl It El Bd Ed D1 Dl Bk Ek Bf Ef Rs Re Db Tg %A %B %C %D %I %J %N %O %P %Q %R %T %U %V"
_CALLED = frozenset((*_AROUND, *_BEGIN, *_END, *_SYSTEMS, "Bx", *_WORDS.split(), *_CALLED_OTHERS.split()))
_IN_SYNOPSIS = ("Fn", "Fo", "Ft", "In", "Fd", "Vt")  # each of which begins a line there
_MARKS = {"-bullet": "•", "-dash": "•", "-hyphen": "•"}  # of items
_KINDS = frozenset((*_MARKS, "-enum", "-item", "-tag", "-diag", "-hang", "-ohang", "-inset", "-column"))  # of lists
_FILLED = {"-filled", "-ragged", "-centered"}
_STANDARDS = {
    **dict.fromkeys(("-ansiC", "-ansiC-89"), "ANSI X3.159-1989 (“ANSI C89”)"),
    **dict.fromkeys(("-isoC", "-isoC-90"), "ISO/IEC 9899:1990 (“ISO C90”)"),
    "-isoC-99": "ISO/IEC 9899:1999 (“ISO C99”)",
    "-isoC-2011": "ISO/IEC 9899:2011 (“ISO C11”)",
    **{f"-susv{version}": f"Version {version} of the Single UNIX Specification (“SUSv{version}”)" for version in (2, 3, 4)},
}


class _List:
    """A list that is open."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.number = 0  # of its items
        self.rows = list[list[str]]()  # of columns


class Mdoc(Macros):
    """The macros of mdoc."""

    names = fixed = Macros.names | _CALLED | frozenset((*_ALONE.split(), *_BLOCKS.split()))

    def __init__(self, size: int) -> None:
        """Begin a text of so many characters."""
        super().__init__(size)
        self._utility = ""  # that the page is about
        self._lists = list[_List]()
        self._displays = list[bool]()  # whether lines were filled before each that is open
        self._parts = 0  # of a term, which go on on other lines
        self._is_term = False  # whether one is being set
        self._is_cell = False  # whether a cell is
        self._is_close = False  # whether no blanks are set …
        self._is_first = False  # … but before the next words
        self._parameters: list[str] | None = None  # of a function that is open
        self._cited: list[str] | None = None  # of a work that is cited
        self._blocks: dict[str, Callable[[Sequence[Token]], None]] = {
            "Dt": self._begin,
            "Sh": partial(self._section, 2),
            "Ss": partial(self._section, 3),
            **dict.fromkeys(("Pp", "Lp"), lambda _: self.writer.paragraph()),
            "Bl": self._begin_list,
            "It": self._item,
            "El": lambda _: self._end_list(),
            "Bd": self._begin_display,
            "Ed": lambda _: self._end_display(),
            **dict.fromkeys(("D1", "Dl"), self._line),
            **dict.fromkeys(("Rs", "Re"), lambda _: self._end_citation()),
            **dict.fromkeys((name for name in _BLOCKS.split() if name.startswith("%")), self._cite),
            **dict.fromkeys(("Dd", "Os", "Bk", "Ek", "Bf", "Ef", "Db", "Tg"), lambda _: None),
        }
        self._called: dict[str, Callable[[Sequence[Token]], None]] = {
            **{name: partial(self._open, sign) for name, sign in _BEGIN.items()},
            **{name: partial(self._close, sign) for name, sign in _END.items()},
            "Nm": self._name,
            "Nd": lambda given: self._words([("—", True), *given]),
            "Ns": partial(self._join, ""),
            "Ap": partial(self._join, "'"),
            "Pf": self._prefix,
            "Xr": self._page,
            "Ta": self._cell,
            "Sm": self._spacing,
            "Eo": lambda given: self._open(_all(given[:1]), given[1:]),
            "Ec": self._end_enclosure,
            "Fo": self._function,
            "Fc": self._end_function,
            "Fa": self._parameter,
            "Ar": lambda given: self._words(given if _said(given) else [("file ...", True), *given]),
            "Pa": lambda given: self._words(given if _said(given) else [("~", True), *given]),
            "An": lambda given: self._words([token for token in given if token[0] not in {"-split", "-nosplit"}]),
            "Ex": lambda given: self._words([(_exits(_said(given) or [self._utility]), True), *_signs(given)]),
            "Rv": lambda given: self._words([(_returns(_said(given) or [self._utility]), True), *_signs(given)]),
            "In": lambda given: self._words([(self._is_synopsis() * "#include " + f"<{_all(given)}>", True), *_signs(given)]),
            **{name: partial(self._instead, of) for name, of in _INSTEAD.items()},
        }

    def text(self, line: str) -> None:
        """A line of text, or the cells of a row."""
        first, *others = line.split("\t") if self._is_cell else [line]
        super().text(first)
        for cell in others:
            self._end_cell()
            super().text(cell)

    def call(self, name: str, rest: str) -> None:
        """A macro with what it calls."""
        if name in self._blocks:
            self._blocks[name](split(rest.replace("\t", " Ta ") if self._is_of_columns() else rest))
        elif name in Macros.names:
            super().call(name, rest)
        else:
            self._set([(name, False), *split(rest)])
            self._end_line()

    def _is_of_columns(self) -> bool:
        return bool(self._lists) and self._lists[-1].kind == "-column"

    def written(self) -> str:
        """The page as Markdown, with what nothing ends."""
        while self._lists:
            self._end_list()
        return super().written()

    def _begin(self, tokens: Sequence[Token]) -> None:
        self.name, self.section = [*(self.plain(words) for words, _ in tokens), "", ""][:2]

    def _section(self, level: int, tokens: Sequence[Token]) -> None:
        while self._lists:
            self._end_list()
        self._end_term()
        self.writer.begin_apart()
        self._set(tokens)
        self.begin_section(level, self.writer.end_apart())

    def _begin_display(self, tokens: Sequence[Token]) -> None:
        self._end_term()
        self._displays.append(self.writer.is_filled)
        self.writer.paragraph()
        self.writer.fill(filled=any(words in _FILLED for words, _ in tokens))

    def _end_display(self) -> None:
        self.writer.paragraph()
        self.writer.fill(filled=self._displays.pop() if self._displays else True)

    def _line(self, tokens: Sequence[Token]) -> None:
        """A line that is shown as it is."""
        was_filled = self.writer.is_filled
        self.writer.fill(filled=False)
        self._set(tokens)
        self.writer.line()
        self.writer.fill(filled=was_filled)

    def _end_line(self) -> None:
        if self._is_term and self._parts <= 0:
            self._end_term()
        elif not (self._is_term or self.writer.is_filled):
            self.writer.line()

    def _begin_list(self, tokens: Sequence[Token]) -> None:
        self._end_term()
        self.writer.paragraph()
        self._lists.append(_List(next((words for words, _ in tokens if words in _KINDS), "-item")))

    def _item(self, tokens: Sequence[Token]) -> None:
        self._end_term()
        if not self._lists:
            self._set(tokens)
            return
        around = self._lists[-1]
        around.number += 1
        if self._is_of_columns():
            self._begin_row(tokens)
            return
        self.writer.paragraph()
        if around.kind in _MARKS or around.kind == "-enum":
            self.writer.item(_MARKS.get(around.kind, f"{around.number}."))
        elif around.kind != "-item":
            self.writer.begin_term()
            self._is_term, self._parts = True, 0
            self._set(tokens)
            self._end_line()

    def _end_term(self) -> None:
        if self._is_term:
            self.writer.end_term()
        self._is_term = False

    def _begin_row(self, tokens: Sequence[Token]) -> None:
        if self._is_cell:
            self._end_cell(goes_on=False)
        self._lists[-1].rows.append([])
        self.writer.begin_apart()
        self._is_cell = True
        self._set(tokens)

    def _cell(self, given: Sequence[Token]) -> None:
        if self._is_cell:
            self._end_cell()
        self._words(given)

    def _end_cell(self, *, goes_on: bool = True) -> None:
        rows = next(one.rows for one in reversed(self._lists) if one.rows)
        rows[-1].append(self.writer.end_apart())
        self._is_cell = goes_on
        if goes_on:
            self.writer.begin_apart()

    def _end_list(self) -> None:
        self._end_term()
        if self._lists:
            if self._lists[-1].rows and self._is_cell:
                self._end_cell(goes_on=False)
            self.writer.table(self._lists.pop().rows)
            self.writer.paragraph()

    def _cite(self, tokens: Sequence[Token]) -> None:
        self._cited = [*(self._cited or []), self.plain(_all(tokens))]

    def _end_citation(self) -> None:
        if self._cited:
            self.writer.add(", ".join(self._cited) + ".")
        self._cited = None

    def _set(self, tokens: Sequence[Token]) -> None:
        """Set what stands on a line, each macro with what follows up to the next one."""
        end = len(tokens)
        while end and _is_sign(tokens[end - 1], _CLOSING):
            end -= 1
        macros = [at for at in range(end) if not tokens[at][1] and tokens[at][0] in (_CALLED if at else self.names)]
        self._words(tokens[: macros[0] if macros else end])
        closing = list[Token]()  # of what goes to the end of the line
        for at, behind in pairwise([*macros, end]):
            name, given = tokens[at][0], tokens[at + 1 : behind]
            if name in _AROUND:
                closing.append((_AROUND[name][1], False))
                self._add(_AROUND[name][0])
                self.writer.is_glued = True
                self._words(given)
            elif name == "Fl":
                self._flags(given, goes_on=behind < end)
            else:
                self._macro(name, given)
        for sign, _ in [*reversed(closing), *tokens[end:]]:
            self._add(sign, close=True)

    def _macro(self, name: str, given: Sequence[Token]) -> None:
        if name in _IN_SYNOPSIS and self._is_synopsis() and self._parameters is None:
            self.writer.line()
        if name == "Fn" and (words := _said(given)):
            self._words([(f"{words[0]}({', '.join(words[1:])})", True), *_signs(given)])
        else:
            self._called.get(name, self._words)(given)

    def _add(self, words: str, *, close: bool = False) -> None:
        self.writer.add(self.plain(words), close=close or (self._is_close and not self._is_first))
        self._is_first &= not words

    def _words(self, given: Sequence[Token], *, before: str = "") -> None:
        """Words, with signs close to what they close or open."""
        for token in given:
            self._add(token[0] if _is_sign(token, _SIGNS) else before + token[0], close=_is_sign(token, _CLOSING))
            self.writer.is_glued |= _is_sign(token, _OPENING)

    def _flags(self, given: Sequence[Token], *, goes_on: bool) -> None:
        if given and not _is_sign(given[0], _CLOSING):
            self._words(given, before="-")
        else:
            self._words([("-", True), *given])
            self.writer.is_glued |= goes_on and not given

    def _instead(self, of: Callable[[Sequence[str]], str], given: Sequence[Token]) -> None:
        """What a macro says in words of its own."""
        self._words([(of(_said(given)), True), *_signs(given)])

    def _open(self, sign: str, given: Sequence[Token]) -> None:
        self._parts += 1
        self._add(sign)
        self.writer.is_glued |= bool(sign)
        self._words(given)

    def _close(self, sign: str, given: Sequence[Token]) -> None:
        self._parts -= 1
        self._add(sign, close=True)
        self._words(given)

    def _end_enclosure(self, given: Sequence[Token]) -> None:
        self._parts -= 1
        self._add(_all(given[:1]), close=True)
        self._words(given[1:])

    def _join(self, sign: str, given: Sequence[Token]) -> None:
        self._add(sign, close=True)
        self.writer.is_glued = True
        self._words(given)

    def _prefix(self, given: Sequence[Token]) -> None:
        self._add(_all(given[:1]))
        self.writer.is_glued = True
        self._words(given[1:])

    def _page(self, given: Sequence[Token]) -> None:
        words = _said(given)
        self._words([("".join([*words[:1], *(f"({section})" for section in words[1:2])]), True)])
        self._words(given[min(len(words), 2) :])

    def _spacing(self, given: Sequence[Token]) -> None:
        self._is_close = self._is_first = _all(given[:1]) == "off" if given else not self._is_close

    def _name(self, given: Sequence[Token]) -> None:
        """The utility, which the first of these names."""
        words = _said(given)
        self._utility = self._utility or "".join(words[:1])
        if self.is_in_first_section():
            self.named(self.plain("".join(words[:1])))
        if self._is_synopsis() and not self._is_term:
            self.writer.line()
        self._words(given if words else [(self._utility, True), *given])

    def _is_synopsis(self) -> bool:
        return self.heading == "synopsis"

    def _function(self, given: Sequence[Token]) -> None:
        self._add(f"{_all(given)}(")
        self._parameters = []

    def _end_function(self, given: Sequence[Token]) -> None:
        self._add(", ".join(self._parameters or []) + ")", close=True)
        self._parameters = None
        self._words(given)

    def _parameter(self, given: Sequence[Token]) -> None:
        if self._parameters is None:
            self._words(given)
        else:
            self._parameters += _said(given)


def _is_sign(token: Token, signs: frozenset[str]) -> bool:
    return token[0] in signs and not token[1]


def _said(given: Sequence[Token]) -> list[str]:
    """Words without signs that close something."""
    return [token[0] for token in given if not _is_sign(token, _CLOSING) and token[0] != "-std"]


def _signs(given: Sequence[Token]) -> list[Token]:
    return [token for token in given if _is_sign(token, _CLOSING)]


def _all(given: Sequence[Token]) -> str:
    return " ".join(words for words, _ in given)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


def _exits(names: Sequence[str]) -> str:
    several = "utilities exit" if names[1:] else "utility exits"
    return f"The {_listed(names)} {several} 0 on success, and >0 if an error occurs."


def _returns(names: Sequence[str]) -> str:
    several = "functions return" if names[1:] else "function returns"
    listed = _listed([f"{name}()" for name in names])
    return (
        f"The {listed} {several} the value 0 if successful; otherwise the value -1 is returned and the global variable errno is "
        "set to indicate the error."
    )


def _standard(words: Sequence[str]) -> str:
    name = "".join(words[:1])
    return _STANDARDS.get(name) or (f"IEEE Std {name[2:]} (“POSIX.1”)" if name.startswith("-p") else name.lstrip("-"))


def _of_bell(words: Sequence[str]) -> str:
    version = "".join(words[:1])
    if version.startswith("v"):
        return f"Version {version[1:]} AT&T UNIX"
    return f"AT&T System {version} UNIX" if version else "AT&T UNIX"


def _system(name: str, words: Sequence[str]) -> str:
    return " ".join([name, *words])


_INSTEAD: dict[str, Callable[[Sequence[str]], str]] = {
    "At": _of_bell,
    "Bt": lambda _: "is currently in beta test.",
    "Bx": lambda words: f"{''.join(words[:1])}BSD{'-'.join(['', *words[1:2]])}",
    "Lb": lambda words: f"library “{' '.join(words)}”",
    "Lk": lambda words: " ".join([*words[1:], *(f"<{address}>" for address in words[:1])]),
    "St": _standard,
    "Ud": lambda _: "currently under development.",
    **{name: partial(_system, system) for name, system in _SYSTEMS.items()},
}
