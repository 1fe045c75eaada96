"""What does a text file say? Text of any kind, in whatever encoding."""

import codecs
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from search import kinds
from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import canvas
from search.reading.files import SourceFile, read_whole
from search.reading.frontmatter import front_matter
from search.reading.structure import title_of
from search.system.extras import how_to_install

UTF_8 = "utf-8"
_WIDER = {  # encodings that hold all of another one, which its name often stands for
    "ascii": UTF_8,
    "utf-8-sig": UTF_8,
    "iso8859-1": "cp1252",
    "iso8859-8": "cp1255",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}
_PICTURE = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,[A-Za-z0-9+/=]{200,}")  # written into a text
_NOT_SHOWN = re.compile(  # comments of Obsidian, on lines of their own, and code, which may look so
    r"^(?P<code>[ \t]*(?P<fence>`{3,}|~{3,}).*?(?:^[ \t]*(?P=fence)|\Z))"
    r"|^%%[ \t\r]*\n(?:.*?\n)??%%[ \t\r]*$|^%%[ \t][^\n]*%%[ \t\r]*$",
    re.MULTILINE | re.DOTALL,
)
_ESCAPES = (b"\x1b$", b"\x1b(", b"~{")  # of encodings that are ASCII to look at: ISO-2022 and HZ
_UTF_7 = "utf-7"  # is, too
_NO_CHANCE = 3  # different letters of one script
_EAST = "CJK"
_EASTERN = {_EAST, "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "HALFWIDTH", "FULLWIDTH"}
_EASTERN_IN_USE, _NO_EASTERN_CHANCE = ("gb2312", "big5", "shift_jis", "euc_kr"), 8  # of half of all letters
_NO_SIGNS = {"Cn", "Co", "Cs"}  # categories of what stands for nothing
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_LOOKED_AT = 200_000  # bytes, to find out an encoding
_BEFORE = 1000  # of these, what stands before the first that is no UTF-8
_BLOCK = 1_000_000
_THE_SAME = bytes(range(128))  # in nearly all encodings
_FEW, _FEWEST = 8, 4  # letters
_WESTERN = re.compile(
    "[áàâäãåæçéèêëíìîïñóòôöõøœúùûüßÁÀÂÄÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜ]+|[\u2018\u2019\u201c\u201d\u2013\u2014\u20ac\u2026]+"
)
_WESTERN_ALONE = re.compile(f"(?:{_WESTERN.pattern})+")
_LONGEST_WORD = 100  # bytes
_WORD = re.compile(rb"[A-Za-z\x80-\xff]+")
_ACCENTED = "áàâäãåæçéèêëíìîïñóòôöõøœúùûüß"
_IN_ITS_PLACE = (  # in languages of the West: elsewhere it is a letter of another encoding, as in `Dzieñ`, `Gyõr`
    "[áàäåæéêíóôöúûüß]|[èø](?![aeiouáéíìù])|[âî](?=[a-z])|[ìòù]\\b|ã(?=[oes]|\\b)|ç(?=[aouãõâàáóôúeéi]|\\b)"
    "|(?<=[aeiou])[ëï]|ñ(?=[aeiouáéíóú])|õ(?=e)|œ(?=[uil])"
)
_LISTED = "[äöüß]+|åäö|æøå"  # letters that stand by themselves, as in `äöü`; in Cyrillic there is no word of them
_WESTERN_WORD = re.compile(  # signs are before or behind it: `K”ln` and `Stra§e` are of other encodings, too
    f"(?:{_LISTED})|(?!\\W*[{_ACCENTED}]{{2,}}\\W*\\Z)[\u2018\u201c\u201e\u201a«§£©¿¡°µ±\u00d7·•ªº\u20ac\u2013\u2014\u2026\xa0]*"
    f"(?:[a-z\u2019\u2013\u2014]|(?:{_IN_ITS_PLACE})(?<![{_ACCENTED}]{{3}}))*"
    "(?:(?<=m)[²³]|(?<=n)º|[¼½¾])?[\u2018\u2019\u201c\u201d»°®\u2122\u20ac\u2013\u2014\u2026\xa0]*",
    re.IGNORECASE,
)
_DAMAGES = "surrogateescape"  # each byte that is no UTF-8 as a sign that no text in UTF-8 has
_LOST = re.compile("[\udc80-\udcff]{1,3}")  # what one damaged byte makes of a letter
_MOST_DAMAGED = 0.01  # of the characters of a text in UTF-8
_WHOLE = 4  # times as many letters beyond ASCII as damaged ones, whatever they are
_WHOLE_ONES_OF_A_SCRIPT = 2  # times as many
_NO_LETTER = re.compile("\u00ff|(?<!\\S)[\u00fe\ufffd](?!\\S)")  # of a word that is written in a western encoding


_OF_WINDOWS = {  # its numbers of encodings, where they are not in Python's names
    708: "iso8859-6",
    1361: "johab",
    10000: "mac_roman",
    10001: "cp932",
    10002: "big5",
    10003: "cp949",
    10004: "mac_arabic",
    10005: "cp1255",
    10006: "mac_greek",
    10007: "mac_cyrillic",
    10008: "gbk",
    10021: "cp874",
    10029: "mac_latin2",
    10081: "mac_turkish",
    20127: "cp1252",
    20866: "koi8-r",
    20932: "euc_jp",
    21866: "koi8-u",
    28591: "cp1252",
    **{28590 + part: f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 13, 15)},
    50220: "iso2022_jp",
    51932: "euc_jp",
    51949: "euc_kr",
    54936: "gb18030",
    65001: UTF_8,
}


class Decoded(NamedTuple):
    """A text and what it was decoded by."""

    text: str
    encoding: str
    replaced: int = 0  # characters that stand for bytes that are none in this encoding

    @property
    def metadata(self) -> dict[str, Any]:
        """What is remarkable: an encoding that is not UTF-8, characters that were lost."""
        encoding: dict[str, Any] = {} if self.encoding == UTF_8 else {"encoding": self.encoding}
        return encoding | ({"replaced_characters": self.replaced} if self.replaced else {})


def read(stream: BinaryIO, file: SourceFile, encoding: str | None) -> Document | Rejection:
    """A text file as a document. What stands in its front matter is title and metadata; what is a picture is left out."""
    decoded = decode(read_whole(stream), encoding)
    media_type = file.media_type or kinds.by_name(file.path) or kinds.PLAIN
    text = without_pictures(decoded.text)
    if media_type == kinds.MARKDOWN:
        text = canvas.to_markdown(text) if file.path.suffix.lower() == ".canvas" else _shown(text)
    front = front_matter(text) if media_type == kinds.MARKDOWN else {}
    title = str(front.pop("title")) if isinstance(front.get("title"), str | int | float) else ""
    return Document(
        id=file.name,
        text=text,
        title=title if title.strip() else title_of(text, media_type) or _name_of(file.path, media_type),
        metadata=front | {"path": file.name} | decoded.metadata,
        media_type=media_type,
        origin=file.name,
        remarks=decoded.metadata,
    )


def _shown(text: str) -> str:
    """Markdown without comments between `%%`."""
    return _NOT_SHOWN.sub(lambda match: match["code"] or "", text) if "%%" in text else text


def _name_of(path: Path, media_type: str) -> str:
    """A file's name without the suffix that says what is in it; `login.defs` and `app.log` have none."""
    return path.stem if kinds.by_name(path) or media_type != kinds.PLAIN else path.name


def without_pictures(text: str) -> str:
    """A text without the letters of pictures and of other data that is written into it."""
    return _PICTURE.sub("data:,", text)


def decode(content: bytes, encoding: str | None = None) -> Decoded:
    """The text, and the encoding it is in. Of a text in UTF-8 single damaged bytes are replaced, also where it is named.

    Raises:
        InvalidDocument: the bytes are not text in the encoding, or in any that could be detected.
    """
    used = encoding or detect(content)
    try:
        return Decoded(content.decode(used).removeprefix("\ufeff"), used)
    except UnicodeDecodeError as error:
        if used != UTF_8 or (encoding and not _has_few_damages(content.decode(UTF_8, _DAMAGES))):
            raise InvalidDocument(f"not {used} at byte {error.start + 1}; name another --encoding, or convert it") from error
    text = content.decode(UTF_8, "replace").removeprefix("\ufeff")
    replaced = text.count("\ufffd") - content.count("\ufffd".encode())
    return Decoded(text, UTF_8, replaced)


def detect(content: bytes) -> str:
    """The encoding of a text: UTF-8 if it can be decoded as that, or nearly; else the most likely one.

    Raises:
        InvalidDocument: it is no text, or nothing tells its encoding.
    """
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name
    try:
        content.decode(UTF_8)
    except UnicodeDecodeError as error:
        if _is_damaged(content):
            return UTF_8
        where, telling = f"not UTF-8 at byte {error.start + 1}", content[max(0, error.start - _BEFORE) :]
    else:
        where, telling = "", content
        if b"\0" not in content[:_LOOKED_AT] and not _may_hide_letters(content):
            return UTF_8
        if _is_utf_7(content):
            return _UTF_7
    guess, why = _guess_if_installed(telling)
    if guess is None and b"\0" in content[:_LOOKED_AT]:
        raise InvalidDocument("not text: it holds zero bytes; name the --encoding if it is text")
    if guess is None and where:
        raise InvalidDocument(f"{where}, and its encoding cannot be told{why}; name the --encoding, or convert it")
    return guess or UTF_8


def detect_stream(stream: BinaryIO) -> tuple[str, str]:
    """The encoding of a file of any size; its beginning decides where it is not UTF-8, and what behind it is not ASCII.

    And its errors, as `open` takes them: "replace" for UTF-8 with damaged bytes, else "strict".

    Raises:
        InvalidDocument: see `detect`.
    """
    beginning = stream.read(_LOOKED_AT)
    lines = beginning[: beginning.rfind(b"\n") + 1] or beginning
    is_ascii = beginning.isascii()
    decoder = codecs.getincrementaldecoder(UTF_8)()
    try:
        decoder.decode(beginning)
        while block := stream.read(_BLOCK):
            decoder.decode(block)
            is_ascii = is_ascii and block.isascii()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        telling = lines if b"\0" in beginning else lines + _lines_beyond_ascii(stream, len(lines))
        return detect(telling), "replace" if _is_damaged(telling) else "strict"
    if b"\0" in beginning:
        return detect(beginning), "strict"
    return detect(lines) if is_ascii else UTF_8, "strict"


def _lines_beyond_ascii(stream: BinaryIO, behind: int) -> bytes:
    """Lines behind that many bytes that are not ASCII, as many as may tell an encoding."""
    stream.seek(behind)
    found = bytearray()
    while len(found) < _LOOKED_AT and (line := stream.readline(_BLOCK)):
        if not line.isascii():
            found += line[:_LOOKED_AT]
    return bytes(found)


def known_encoding(encoding: str | None) -> str | None:
    """An encoding by Python's own name for it.

    Raises:
        InvalidDocument: there is none of that name.
    """
    try:
        if encoding is None:
            return None
        "".encode(encoding)  # which codecs that are no encodings of text refuse, too
        return codecs.lookup(encoding).name
    except (LookupError, ValueError, TypeError) as error:
        raise InvalidDocument(f"there is no encoding {encoding!r:.100}; write it like cp1252, shift_jis or utf-16") from error


def of_windows(number: int) -> str:
    """Python's name for an encoding that Windows has a number for; empty if it has none."""
    try:
        return codecs.lookup(_OF_WINDOWS.get(number, f"cp{number}")).name
    except LookupError:
        return ""


def _may_hide_letters(content: bytes) -> bool:
    """Whether what looks like ASCII has signs that begin something else in another encoding."""
    return content.isascii() and (b"+" in content or any(mark in content for mark in _ESCAPES))


def _is_utf_7(content: bytes) -> bool:
    """Whether all that begins with a plus sign is UTF-7, and its letters are different ones of one script.

    So `+AOQ-` is a letter; `C++`, `a+b` and `+49-` are no UTF-7, and in `+abc-` there is one letter by chance.
    """
    try:
        signs = {sign for sign in set(content.decode(_UTF_7)) if sign > "\x7f"}
    except UnicodeDecodeError:
        return False
    letters = {sign for sign in signs if sign.isalpha()}
    scripts = _scripts(letters)
    if any(unicodedata.category(sign) in _NO_SIGNS for sign in signs):
        return False
    if scripts == {_EAST}:
        return len(letters) >= _NO_EASTERN_CHANCE and any(_holds(encoding, letters) for encoding in _EASTERN_IN_USE)
    return len(letters) >= _NO_CHANCE and len(scripts) == 1


def _scripts(letters: Iterable[str]) -> set[str]:
    """Which scripts letters are of; those of China, Japan and Korea are one, which they mix."""
    names = {unicodedata.name(letter, "").partition(" ")[0] for letter in letters}
    return {_EAST if name in _EASTERN else name for name in names}


def _holds(encoding: str, letters: Iterable[str]) -> bool:
    try:
        "".join(letters).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _is_damaged(content: bytes) -> bool:
    """Whether this is UTF-8 but for a few bytes: letters of other encodings hardly ever make whole ones of UTF-8."""
    text = content.decode(UTF_8, _DAMAGES)
    if not _has_few_damages(text):
        return False
    damaged = len(_LOST.findall(text))
    whole = [sign for sign in _LOST.sub("", text) if sign > "\x7f"]
    if len(whole) >= _WHOLE * damaged or whole.count("\ufffd") >= damaged:  # whose bytes nobody writes elsewhere
        return True
    if not whole:
        return _is_of_no_word(content)
    if len(whole) >= damaged and _WESTERN_ALONE.fullmatch("".join(whole)):
        return True
    return len(whole) >= _WHOLE_ONES_OF_A_SCRIPT * damaged and all(map(str.isalpha, whole)) and len(_scripts(whole)) == 1


def _has_few_damages(text: str) -> bool:
    """Whether there are few letters damaged, of which each was decoded as one to three signs."""
    most = max(1, _MOST_DAMAGED * len(text))
    lost = _LOST.findall(text)
    return sum(map(len, lost)) <= 3 * most and len(lost) <= most


def _is_of_no_word(content: bytes) -> bool:
    """Whether the few bytes of a text that are not ASCII are no letters where they stand, in any encoding that is likely."""
    letters = content.translate(None, _THE_SAME)
    return len(letters) < _FEWEST and len(_NO_LETTER.findall(content.decode("cp1252", "replace"))) == len(letters)


def _guess_if_installed(content: bytes) -> tuple[str | None, str]:
    """A guess, or why there is none."""
    try:
        return _guess(content), ""
    except ModuleNotFoundError as error:
        return None, f" ({how_to_install(error)})"


def _guess(content: bytes) -> str | None:
    """The most likely encoding, by the frequencies of languages; None if none is."""
    import chardet  # takes a moment, and most files are UTF-8

    beginning = content[:_LOOKED_AT]
    words = {word for word in _WORD.findall(beginning) if not word.isascii()}  # what is repeated tells no more
    is_western = bool(words) and b"\0" not in beginning and all(map(_is_western, words))
    if is_western and sum(len(word.translate(None, _THE_SAME)) for word in words) < _FEW:
        return "cp1252"  # which nothing tells from others; it is the most frequent one
    # Of a few letters those that are in use tell more than all that there ever were, such as those of old operating systems.
    is_in_use = is_western or 0 < len(beginning.translate(None, _THE_SAME)) < _FEW
    era = chardet.EncodingEra.MODERN_WEB if is_in_use else chardet.EncodingEra.ALL
    name = chardet.detect(beginning, encoding_era=era)["encoding"]
    try:
        used = codecs.lookup(name or "").name
    except LookupError:
        return None
    used = _WIDER.get(used, used)
    return None if used == _UTF_7 or (used == UTF_8 and not content.isascii()) else used  # it is not: see `detect`


def _is_western(word: bytes) -> bool:
    """Whether a word is one of the West in cp1252, by where it has which letters and signs."""
    try:
        return len(word) <= _LONGEST_WORD and bool(_WESTERN_WORD.fullmatch(word.decode("cp1252")))
    except UnicodeDecodeError:
        return False
