"""What was found, as one HTML file with the differences marked. It needs no script and loads nothing."""

import re
from collections.abc import Iterator
from html import escape

from search.deduplication.aligning import aligned
from search.deduplication.comparing import CJK
from search.deduplication.report import Cluster, Duplicate, Duplicates
from search.documents import counted

_PIECES = re.compile(rf"([{CJK}]|[^\W{CJK}]+|[^\w\s]|\A)(\s*)")  # a word or a sign, and the white space behind it
_MOST = 4000  # of them that are compared; beyond it, that there is more is said

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
section { border-top: 1px solid; margin-top: 2rem }
h2, h3 { font-size: 1rem; overflow-wrap: anywhere }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid; padding-left: .8rem }
ins { background: #2a7d3255; text-decoration: underline }
del { background: #b3261e44 }
"""


def to_html(found: Duplicates) -> str:
    """The whole page. What stands in documents is escaped, and shown as it is."""
    count = len(found.duplicate_ids)
    share = found.expected_share
    expected = "" if share is None else f" Of the duplicates below, {share:.1%} are expected to be true ones."
    title = _shown(f"Near-duplicates in {found.collection}")
    head = (
        f"{count:,} of {counted(found.documents, 'document')} {'says' if count == 1 else 'say'} the same as another one, "
        f"in {counted(len(found.clusters), 'cluster')}. "
        f"Each has a probability of at least {found.threshold:g}.{expected} Judged by {found.confirmed_by}."
    )
    notes = "".join(f"<p>{_shown(note)}</p>\n" for note in found.notes)
    clusters = "\n".join(_cluster(cluster) for cluster in found.clusters)
    legend = (
        "<p><del>Struck out</del> is what the representative alone has, <ins>underlined</ins> what the duplicate alone has.</p>"
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{_shown(head)}</p>\n{notes}{legend}\n{clusters}\n</body>\n</html>\n"
    )


def _cluster(cluster: Cluster) -> str:
    representative = cluster.representative
    name = _shown(" · ".join(filter(None, [representative.id, representative.title])))
    whole = f"<details><summary>Representative</summary><pre>{_shown(representative.text)}</pre></details>"
    return (
        f"<section>\n<h2>{name}</h2>\n{whole}\n"
        + "\n".join(_duplicate(cluster, one) for one in cluster.duplicates)
        + "\n</section>"
    )


def _duplicate(cluster: Cluster, one: Duplicate) -> str:
    what = "identical but for white space and case" if one.kind == "identical" else f"probability {one.probability:.3f}"
    marked = "".join(differences(cluster.representative.text, one.document.text))
    name = _shown(" · ".join(filter(None, [one.document.id, one.document.title])))
    return f"<h3>{name}: {what}</h3>\n<pre>{marked}</pre>"


def differences(before: str, after: str) -> Iterator[str]:
    """The duplicate's text as HTML, with what it has not of the representative's, and what that alone has, marked."""
    one, other = _PIECES.findall(_visible(before)), _PIECES.findall(_visible(after))
    first, second = one[:_MOST], other[:_MOST]
    at = other_at = 0
    for place, other_place in [*aligned(*([word for word, _ in some] for some in (first, second))), (len(first), len(second))]:
        yield _marked(*("".join(map("".join, some)) for some in (first[at:place], second[other_at:other_place])))
        at, other_at = place + 1, other_place + 1
        if place < len(first):
            (_, space), (word, other_space) = first[place], second[other_place]
            yield escape(word) + (space if space == other_space else _marked(space, other_space))
    if max(len(one), len(other)) > _MOST:
        yield "\n… the rest is not shown"


def _marked(gone: str, come: str) -> str:
    return (f"<del>{escape(gone)}</del>" if gone else "") + (f"<ins>{escape(come)}</ins>" if come else "")


def _shown(text: str) -> str:
    return escape(_visible(text))


def _visible(text: str) -> str:
    """Without characters that HTML may not hold."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "\ufffd", text.replace("\r\n", "\n"))
