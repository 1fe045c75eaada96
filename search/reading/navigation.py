"""Which blocks of Markdown only lead to the pages beside one, or above it? Those of links called "Previous", "目录" and the like.

Whatever else a link is called says what is behind it: lists of links, "See also" and "Read more" stay.
"""

import re

_LINK = re.compile(  # what it is called, in Markdown or HTML
    r"\[((?:[^\[\]\n]|\[[^\[\]\n]*\])*)\](?:\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\[[^\[\]\n]*\])|<a\s[^<>]*>([^<>]*)</a>"
)
_TAG = re.compile(r"<[^<>]*>")
_LONGEST = 1000  # characters of a block
_ENDS = 2000  # of a text
_MOST = 6  # links
_BESIDE = (
    "previous|prev|next|back|zurück|weiter|vorige|vorherige|nächste|précédent|précédente|suivant|suivante|retour|anterior|siguiente"
    "|atrás|volver|próximo|próxima|voltar|precedente|successivo|successiva|indietro|avanti|volgende|poprzednia?|następn[ya]|wstecz"
    "|dalej|předchozí|další|zpět|föregående|nästa|forrige|neste|næste|edellinen|seuraava|önceki|sonraki|geri|ileri|назад|вперёд|вперед"
    "|далее|предыдущая|следующая|попередня|наступна|далі|προηγούμενο|επόμενο|上一?[页頁章节節篇]|下一?[页頁章节節篇]|返回"
    "|前へ|次へ|[前次]の(?:ページ|章)|戻る|이전|다음|السابق|التالي|הקודם|הבא"
)
_PART = (
    "(?:page|chapter|section|part|lesson|article|post|seite|kapitel|abschnitt|chapitre|página|capítulo|pagina|capitolo|глава"
    "|страница)"
)
_ABOVE = (
    "home|home ?page|main page|top|up|index|contents|toc|table of contents|startseite|inhalt|inhaltsverzeichnis|nach oben|accueil"
    "|sommaire|table des matières|haut de page|inicio|índice|início|sumário|indice|sommario|inhoud|inhoudsopgave|spis treści|obsah"
    "|innehåll|indhold|innhold|içindekiler|содержание|оглавление|главная|наверх|зміст|目[录錄次]|[首主][页頁]|ホーム|トップ|목차|홈"
)
_NAMES = re.compile(rf"(?:{_PART} )?(?:{_BESIDE})(?: {_PART}| to (?:the )?(?:{_ABOVE}))?|{_ABOVE}", re.IGNORECASE)
_WITH_TITLE = re.compile(rf"[\W_]*(?:{_PART} )?(?:{_BESIDE})(?: {_PART})?[*_]*(?:\s?[:\uff1a]|\s+[\u2013\u2014-]\s)", re.IGNORECASE)
_LEFT, _RIGHT = re.compile("[←⇐⬅◀]|<<|&larr;"), re.compile("[→⇒➡▶]|>>|&rarr;")
_NO_WORD = re.compile(r"(?:&\w+;|[\W_])+")


def is_perhaps_there(text: str) -> bool:
    """Whether a line near an end of a text is navigation."""
    lines = {*text[:_ENDS].split("\n"), *text[-_ENDS:].split("\n")}
    return any(is_navigation(line) for line in lines if "](" in line or "][" in line or "<a" in line)


def is_navigation(block: str) -> bool:
    """Whether a block is nothing but a few links to pages beside or above: each by its name or the one before it, all by arrows."""
    links = list(_LINK.finditer(block)) if len(block) <= _LONGEST else []
    ends = [0, *(link.end() for link in links)]
    between = [_TAG.sub(" ", block[end:start]) for end, start in zip(ends, [*(one.start() for one in links), None], strict=True)]
    if not 0 < len(links) <= _MOST or not all(_is_name(words) for words in between if _words(words)):
        return False
    if len(links) > 1 and _LEFT.search(block) and _RIGHT.search(block):
        return True
    called = [link[1] or link[2] or "" for link in links]
    return all(_is_name(name) or _WITH_TITLE.match(name) or _is_name(before) for name, before in zip(called, between, strict=False))


def _is_name(words: str) -> bool:
    return _NAMES.fullmatch(_words(words)) is not None


def _words(words: str) -> str:
    return _NO_WORD.sub(" ", words).strip()
