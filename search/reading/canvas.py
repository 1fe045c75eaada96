"""What do the cards of a JSON Canvas say? Markdown: each card as it is written, those of a group below its label."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Card = Mapping[str, Any]
_MOST_GROUPS = 200  # that cards are looked for in


def to_markdown(text: str) -> str:
    """Groups, cards from top to bottom, then what stands at arrows; a text that is no canvas as it is."""
    try:
        canvas = json.loads(text)
    except (ValueError, RecursionError):
        return text
    nodes = canvas.get("nodes") if isinstance(canvas, dict) else None
    if not isinstance(nodes, list) or not all(map(_is_card, nodes)):
        return text
    labels = [_label(edge) for edge in canvas.get("edges") or () if isinstance(edge, dict)]
    return "\n\n".join([*_written(sorted(nodes, key=lambda card: (card["y"], card["x"]))), *filter(None, labels)]) + "\n"


def _is_card(node: Any) -> bool:
    sides = ("x", "y", "width", "height")
    return isinstance(node, dict) and all(isinstance(node.get(side), int | float) for side in sides)


def _written(cards: Sequence[Card]) -> Iterator[str]:
    """Cards in no group, then those of each group; one in several stands in the smallest."""
    groups = [one for one in cards if one.get("type") == "group"]
    by_size = sorted(range(len(groups)), key=lambda number: groups[number]["width"] * groups[number]["height"])[:_MOST_GROUPS]
    inside: dict[int, list[str]] = {-1: [], **{number: [] for number in range(len(groups))}}
    for card in cards:
        if card.get("type") != "group" and (words := _words(card)):
            inside[next((number for number in by_size if _holds(groups[number], card)), -1)].append(words)
    for number, texts in inside.items():
        label = _label(groups[number]) if number >= 0 else ""
        yield from [f"# {label}"] if label and texts else [label] if label else []
        yield from texts


def _holds(group: Card, card: Card) -> bool:
    across, down = (card[side] + card[size] / 2 - group[side] for side, size in (("x", "width"), ("y", "height")))
    return bool(0 <= across <= group["width"] and 0 <= down <= group["height"])


def _words(card: Card) -> str:
    """What is written on a card, or what it shows: a file, a page."""
    found = card.get({"text": "text", "file": "file", "link": "url"}.get(str(card.get("type")), ""))
    return found.strip() if isinstance(found, str) else ""


def _label(part: Card) -> str:
    label = part.get("label")
    return " ".join(label.split()) if isinstance(label, str) else ""
