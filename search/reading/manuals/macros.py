"""What do the macros of manuals have in common? Requests that set lines and tables, and the name that a page goes by."""

from collections.abc import Sequence

from search.reading.manuals.roff import Roff
from search.reading.manuals.typesetting import Writer, cells_of

_NO_WORDS = ("delim", "define", "gsize", "gfont")  # lines of a formula that set none


class Macros:
    """Sets what a roff text asks for.

    Attributes:
        roff: reads the text.
        writer: takes its words.
        name: that the page gives itself.
        section: of the manual.
        heading: of what is set, in small letters.
    """

    fixed = frozenset(("br", "sp", "nf", "fi", "ce", "ti", "TS"))
    names = fixed | frozenset(("EQ", "PS"))

    def __init__(self, size: int) -> None:
        """Begin a text of so many characters."""
        self.roff = Roff(self, size)
        self.writer = Writer()
        self.name = self.section = ""
        self._own_name = ""  # as the first section has it
        self.heading = ""
        self._sections = 0

    def text(self, line: str) -> None:
        """A line of text."""
        is_filled = self.writer.is_filled
        words = self.roff.plain(line)
        goes_on = words.endswith("\0")
        words = words.replace("\0", "")
        if not (words.strip() or goes_on):
            if not (line.strip() and is_filled):
                self.writer.paragraph()
            return
        if is_filled and line[:1] in {" ", "\t"}:
            self.writer.line()
        self.writer.add(words)
        self.end_of_line(goes_on=goes_on)

    def end_of_line(self, *, goes_on: bool) -> None:
        """End a line of the text, which the next one may go on with."""
        if goes_on:
            self.writer.is_glued = True
        elif not self.writer.is_filled:
            self.writer.line()

    def call(self, name: str, rest: str) -> None:  # noqa: ARG002  # these take nothing that is shown
        """A request."""
        match name:
            case "sp":
                self.writer.paragraph()
            case "nf" | "fi":
                self.writer.fill(filled=name == "fi")
            case "TS":
                self.writer.table([[self.words_of(cell) for cell in row] for row in cells_of(self.roff.until("TE"))])
            case "EQ":
                self.writer.add(" ".join(line for line in self.roff.until("EN") if not line.startswith(_NO_WORDS)))
            case "PS":
                self.roff.until("PE")
            case _:
                self.writer.line()

    def plain(self, words: str) -> str:
        """Words without escapes."""
        return self.roff.plain(words).replace("\0", "")

    def words_of(self, lines: Sequence[str]) -> str:
        """What lines set, on one."""
        self.writer.begin_apart()
        self.roff.run(lines)
        return self.writer.end_apart()

    def begin_section(self, level: int, words: str) -> None:
        """Set a heading."""
        self.writer.heading(level, words)
        self.heading = words.casefold()
        self._sections += 1

    def is_in_first_section(self) -> bool:
        """Whether what is set is in the section that has the names."""
        return self._sections == 1

    def named(self, words: str) -> None:
        """Note a name of that section, if it is the page's but for its capitals."""
        if words.casefold() == self.name.casefold():
            self._own_name = words

    def title(self) -> str:
        """The name with the section, as in ls(1)."""
        name = self._own_name or (self.name.lower() if self.name.isupper() else self.name)
        return f"{name}({self.section.lower()})" if name and self.section else name

    def written(self) -> str:
        """The page as Markdown."""
        return self.writer.text()
