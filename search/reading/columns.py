"""Of which type are the values of a column? All of one: text, where numbers would not give them back as they are written."""

import decimal
import re

EXACT = 2**53  # up to which a float holds every whole number
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?")


def number(written: str) -> int | float | None:
    """The number that would be written like this; None if there is none."""
    if not _NUMBER.fullmatch(written):
        return None
    if "." not in written:
        whole = int(written)
        return whole if str(whole) == written and abs(whole) <= EXACT else None
    found = float(written)
    same = repr(found) == written or (written[-1] != "0" and decimal.Decimal(repr(found)) == decimal.Decimal(written))
    return found if same else None
