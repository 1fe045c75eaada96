"""What of a web page is content? What a reader sees, less menus and what else stands around it on every page of a site."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_HIDDEN = (
    frozenset(("script", "style", "noscript", "template", "title", "svg", "nav", "iframe", "object", "head", "canvas", "dialog"))
    | {"rp", "annotation", "annotation-xml"}  # of ruby and formulas, which stand there a second time
)
PARAGRAPHS = (
    frozenset(("p", "div", "section", "article", "main", "header", "footer", "aside", "blockquote", "figure", "ul", "ol", "dl"))
    | {"table", "form", "fieldset", "details", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "center", "body", "html"}
    | {"textarea"}
)
_PERMALINKS = frozenset(("#", "¶", "§", "🔗", "\uf0c1"))  # words of links beside headings
_INVISIBLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_OF_MAIN = 0.1  # of the words of a page, which its <main> has at least
_OF_ARTICLE = 0.5  # the same of its only <article>
_FURNITURE = "nav, footer, form, search, menu, button, dialog, h1"  # in a block: it is looked at part by part
_LINKED = frozenset(("a", "button", "select", "label", "textarea"))
_ROLES = frozenset(("navigation", "contentinfo", "search", "menu", "menubar", "dialog", "alertdialog", "toolbar", "tablist"))
_NAMED = re.compile(  # what is called so in a page is no content of it
    r"(?:footer|sidebar|navbar|cookie|consent|breadcrumb|newsletter|pagination|copyright|announce|advert|dropdown|tooltip|popover)"
    r"|(?<![a-z])(?:nav|menu|banner|toc|share|social|subscri|sign-?up|sign-?in|log-?in|promo|ads?(?![a-z])|sponsor|related|recommend"
    r"|comment|respond|search|skip|modal|popup|overlay|toolbar|pager|widget|feedback|version|theme|setting|help|prev|next|logo|brand"
    r"|language|edit|source-?link|jump|catlinks|site-?sub|content-?sub|noprint|print-?only)",
    re.IGNORECASE,
)
_FOOTER = re.compile(
    r"(?<![a-z])(?:(?:page|site|global|main)[-_]?)?footer(?![a-z])|cookie-?(?:banner|consent|notice)", re.IGNORECASE
)
_OF_LINKS = re.compile(
    r"(?<![a-z])(?:(?:sphinx|site|page|left|right)[-_]?)?(?:side-?bar|navbar|breadcrumbs?)(?![a-z])", re.IGNORECASE
)
_NOT_SHOWN = "nav, :not(nav) > :is(script, style, noscript)"
_WRITTEN = frozenset(("p", "pre", "table", "ul", "ol", "dl", "h1", "h2", "h3", "h4", "h5", "h6"))  # beside these is no furniture
_BLOCKS = PARAGRAPHS - {"hr"} | {"address"}
_PROSE = frozenset(("p", "pre", "blockquote", "table", "dl", "figure"))
_SHORTEST = 10  # characters beside links, of a paragraph that is content where it stands beside the main part …
_SHORTEST_LOOSE = 40  # … and of words that are in none
_PART_OF_LINKS = 1 / 3  # of the characters of content, at most
_DEEPEST_BESIDE = 50  # elements in each other, in which content is looked for beside the main part


def _main(body: "LexborNode") -> "LexborNode":
    """The part of a page that holds what it is about, if the page marks one that holds enough."""
    total = _words(body)
    mains = body.css("main, [role=main]")
    if len(mains) == 1 and _words(mains[0]) > _OF_MAIN * total:
        return mains[0]
    articles = body.css("article")
    if len(articles) == 1 and _words(articles[0]) >= _OF_ARTICLE * total:
        return articles[0]
    return body


def content_of(body: "LexborNode") -> list["LexborNode"]:
    """The main part of a page, and in their order what else a reader calls its content: a heading, an introduction, a warning."""
    main = _main(body)
    if main.mem_id == body.mem_id:
        _take_furniture(body)
        return [body]
    before: list[LexborNode] = []
    after: list[LexborNode] = []
    part: LexborNode | None = main
    while part is not None and part.mem_id != body.mem_id:
        before[:0] = _beside(list(_siblings(part, "prev"))[::-1])
        after += _beside(list(_siblings(part, "next")))
        part = part.parent
    heading = None if main.css_first("h1") else next((one for one in before if one.tag == "h1"), None)
    return [*(one for one in before if one.tag != "h1" or one is heading), main, *(one for one in after if one.tag != "h1")]


def _take_furniture(body: "LexborNode") -> None:
    """Take away what stands around all else on a page that marks no main part, as long as most of its text stays."""
    total = 0
    found: list[tuple[LexborNode, int]] = []  # and their lengths
    inside: LexborNode | None = body
    for _ in range(_DEEPEST_BESIDE):
        if inside is None:
            break
        children = [(node, _shown(node)) for node in inside.iter(include_text=False) if not _is_hidden(node)]
        total = total or sum(length for _, length in children)
        largest = next((node for node, length in children if 2 * length > total), None)
        found += [(node, length) for node, length in children if node is not largest and _stands_around(node)]
        inside = None if largest is None or any(one.tag in _WRITTEN for one in (largest, *largest.iter())) else largest
    if 2 * sum(length for _, length in found) < total:
        for node, _ in found:
            node.decompose()


def _shown(node: "LexborNode") -> int:
    """About how many characters of it are shown; counted quickly, since each page asks."""
    return len(node.text(deep=True)) - sum(len(hidden.text(deep=True)) for hidden in node.css(_NOT_SHOWN))


def _has_prose(node: "LexborNode") -> bool:
    """Whether it has words of some length beside links."""
    links = 0
    for inner, begins in walk(node):
        if inner.is_text_node:
            if not links and len((inner.text_content or "").strip()) >= _SHORTEST_LOOSE:
                return True
        elif inner.tag in _LINKED:
            links += 1 if begins else -1
    return False


def _stands_around(node: "LexborNode") -> bool:
    """Whether an element holds nothing of a page's own: by what it is, or by its class; an id may be that of a section."""
    attributes = node.attributes
    role, kind = attributes.get("role") or "", attributes.get("class") or ""
    if node.tag == "footer" or role in _ROLES or _FOOTER.search(kind):
        return True
    if _OF_LINKS.search(kind):
        return not _has_prose(node)
    return (node.tag in {"header", "aside"} or role == "banner") and next(_beside([node]), None) is None


def _siblings(node: "LexborNode", towards: str) -> Iterator["LexborNode"]:
    while (one := getattr(node, towards)) is not None:
        yield one
        node = one


def _beside(nodes: Sequence["LexborNode"]) -> Iterator["LexborNode"]:
    """What of some nodes beside the main part is content: headings of the page, paragraphs, and sections of them."""
    waiting = [(node, 0) for node in reversed(nodes)]
    while waiting:
        node, depth = waiting.pop()
        if node.is_text_node:
            if len((node.text_content or "").strip()) >= _SHORTEST_LOOSE:
                yield node
            continue
        if not node.is_element_node or _is_hidden(node) or _is_furniture(node):
            continue
        characters, linked = _lengths(node)
        if node.tag == "h1":
            if characters > linked:
                yield node
        elif node.css_first(_FURNITURE) is None and linked <= _PART_OF_LINKS * characters and _is_enough(node, characters - linked):
            yield node
        elif depth < _DEEPEST_BESIDE and node.tag in _BLOCKS - _PROSE:
            waiting += [(child, depth + 1) for child in node.iter(include_text=True)][::-1]


def _is_enough(node: "LexborNode", characters: int) -> bool:
    """Whether so many characters beside links make content of an element."""
    return characters >= (_SHORTEST if node.tag in _PROSE or node.css_first("p, pre") is not None else _SHORTEST_LOOSE)


def _is_furniture(node: "LexborNode") -> bool:
    if node.tag in {"footer", "form", "search", "menu", "button"}:
        return True
    attributes = node.attributes
    return (attributes.get("role") or "") in _ROLES or bool(
        _NAMED.search(f"{attributes.get('id')} {attributes.get('class')} {attributes.get('aria-label')}")
    )


def _lengths(node: "LexborNode") -> tuple[int, int]:
    """How many characters its words have, and how many of these are in links."""
    characters = linked = links = 0
    for inner, begins in walk(node):
        if inner.is_text_node:
            length = len("".join((inner.text_content or "").split()))
            characters += length
            linked += length * (links > 0)
        elif inner.tag in _LINKED:
            links += 1 if begins else -1
    return characters, linked


def _words(node: "LexborNode") -> int:
    return sum(len((text.text_content or "").split()) for text, _ in walk(node) if text.is_text_node)


def walk(root: "LexborNode", *, with_notes: bool = False) -> Iterator[tuple["LexborNode", bool]]:
    """Each visible node where it begins, and an element again where it ends. Notes that pop up are hidden, unless asked for."""
    node: LexborNode | None = root
    while node is not None:
        child = None
        if node.is_text_node:
            yield node, True
        elif node.is_element_node and (node.mem_id == root.mem_id or (with_notes and _is_note(node)) or not _is_hidden(node)):
            yield node, True
            child = node.child
            if child is None:
                yield node, False
        if child is not None:
            node = child
            continue
        while node is not None and node.mem_id != root.mem_id and node.next is None:
            node = node.parent
            if node is not None:
                yield node, False
        if node is None or node.mem_id == root.mem_id:
            return
        node = node.next


def _is_note(node: "LexborNode") -> bool:
    """Whether it is beside the text of a book, where a reader shows it once it is asked for."""
    if node.tag in _HIDDEN:
        return False
    attributes = node.attributes
    return node.tag == "aside" or "note" in f"{attributes.get('epub:type')} {attributes.get('role')}"


def _is_hidden(node: "LexborNode") -> bool:
    if node.tag in _HIDDEN:
        return True
    attributes = node.attributes
    if not attributes:
        return False
    if (
        attributes.get("hidden", "until-found") != "until-found"
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") == "navigation"
    ):
        return True
    if node.tag == "a" and (attributes.get("href") or "").startswith("#"):
        return node.text(deep=True).strip() in _PERMALINKS
    return bool(_INVISIBLE.search(attributes.get("style") or ""))
