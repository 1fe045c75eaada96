"""What do the macros of man say? Sections, paragraphs, terms with what they explain, fonts and links."""

from collections.abc import Callable
from functools import partial

from search.reading.manuals.macros import Macros
from search.reading.manuals.roff import arguments

_LONGEST_TERM = 200  # characters of a paragraph that is one, where what stands behind it is indented
_LEVELS = {"SH": 2, "SS": 3}
_OF_ALL = "TH SH SS PP P LP HP IP TP RS RE B I SM SB R BR RB BI IB IR RI PD DT AT UC"
_OF_GROFF = "EX EE TQ UR UE MT ME URL SY YS OP MR"


class Man(Macros):
    """The macros of man, and those that groff adds to them."""

    fixed = Macros.fixed | frozenset(_OF_ALL.split())
    names = Macros.names | fixed | frozenset(_OF_GROFF.split())  # some texts define these

    def __init__(self, size: int) -> None:
        """Begin a text of so many characters."""
        super().__init__(size)
        self._waits = ""  # the macro that the next line of text is for, which is a heading or a term
        self._address = ""  # that words lead to
        self._macros: dict[str, Callable[[list[str]], None]] = {
            "TH": self._begin,
            **{name: partial(self._section, name) for name in _LEVELS},
            **dict.fromkeys(("PP", "P", "LP", "HP", "RE"), self._paragraph),
            **dict.fromkeys(("TP", "TQ"), self._term),
            "IP": self._item,
            "RS": lambda _: self.writer.as_term(_LONGEST_TERM),
            "EX": lambda _: self.writer.fill(filled=False),
            "EE": lambda _: self.writer.fill(filled=True),
            **dict.fromkeys(("B", "I", "SM", "SB", "R"), lambda given: self._words(" ".join(given))),
            **dict.fromkeys(("BR", "RB", "BI", "IB", "IR", "RI"), lambda given: self._words("".join(given))),
            "OP": lambda given: self._words(f"[{' '.join(given)}]"),
            "MR": lambda given: self._words("".join([*given[:1], *(f"({one})" for one in given[1:2]), *given[2:3]])),
            **dict.fromkeys(("SY", "YS"), self._synopsis),
            **dict.fromkeys(("UR", "MT"), self._begin_link),
            **dict.fromkeys(("UE", "ME"), self._end_link),
            "URL": lambda given: self._words(f"{''.join(given[1:2])} <{''.join(given[:1])}>{''.join(given[2:3])}"),
        }

    def call(self, name: str, rest: str) -> None:
        """A macro."""
        if name in Macros.names:
            super().call(name, rest)
        elif name in self._macros:
            self._macros[name](arguments(rest))

    def text(self, line: str) -> None:
        """A line of text, which may be what a macro waits for."""
        if self.is_in_first_section():
            self.named(self.plain(line).replace(",", " ").split(" ")[0])
        if self._waits in _LEVELS:
            level, self._waits = _LEVELS[self._waits], ""
            self.begin_section(level, self.plain(line))
        else:
            super().text(line)

    def end_of_line(self, *, goes_on: bool) -> None:
        """End a line of the text, and with it a term."""
        super().end_of_line(goes_on=goes_on)
        if not goes_on:
            self._end_term()

    def _begin(self, given: list[str]) -> None:
        self.name, self.section = map(self.plain, [*given, "", ""][:2])

    def _section(self, name: str, given: list[str]) -> None:
        self._end_term()
        if words := " ".join(given):
            self.begin_section(_LEVELS[name], self.plain(words))
        else:
            self.writer.fill(filled=True)
            self._waits = name

    def _paragraph(self, _: list[str]) -> None:
        self._end_term()
        self.writer.paragraph()

    def _term(self, _: list[str]) -> None:
        self._end_term()
        self.writer.begin_term()
        self._waits = "TP"

    def _end_term(self) -> None:
        if self._waits == "TP":
            self.writer.end_term()
        self._waits = ""

    def _item(self, given: list[str]) -> None:
        self._end_term()
        self.writer.paragraph()
        if term := self.plain("".join(given[:1])).strip():
            self.writer.begin_term()
            self.writer.add(term)
            self.writer.end_term()

    def _words(self, words: str) -> None:
        if words:
            self.text(words)

    def _synopsis(self, given: list[str]) -> None:
        self.writer.line()
        self._words(" ".join(given))

    def _begin_link(self, given: list[str]) -> None:
        self._address = self.plain("".join(given[:1]))

    def _end_link(self, given: list[str]) -> None:
        """Set the address behind the words that lead to it, in angle brackets."""
        if self._address:
            self._words(f"<{self._address}>{''.join(given[:1])}".replace("\\", "\\e"))
        self._address = ""
