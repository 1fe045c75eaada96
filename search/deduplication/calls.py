"""What does code ask of others? The names of what it calls and does not define itself, whose sense no renaming changes.

The language is not known, and nothing is parsed: where it is unclear, a name is taken for the code's own.
"""

import keyword
import re

_NAME = r"[^\W\d]\w*"
_CALL = re.compile(rf"(?<![\w.])({_NAME})\(")
_NO_CALLS = frozenset(keyword.kwlist) | {"switch", "catch", "function", "func", "fun", "fn", "sizeof", "typeof", "elif", "foreach"}
_DEFINES = "def|class|func|fun|function|fn|struct|interface|trait|enum|type|let|const|var|val|as"
_LISTED = r"\(([^()]{0,500}(?:\([^()]{0,200}\)[^()]{0,500}){0,20})\)"  # parameters, of which some are functions
_OWN = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:{_DEFINES})\s+(?:mut\s+)?({_NAME})",
        rf"\b(?:def|func|fun|function|fn)\b[^()\n]{{0,100}}{_LISTED}",
        rf"(?<![\w.])({_NAME}){_LISTED}[^(){{}};\n]{{0,100}}\{{",  # a function of C's kin
        rf"{_LISTED}\s*=>",
        rf"({_NAME}(?:\s?,\s?{_NAME}){{0,20}})\s{{0,20}}(?::[^\n=]{{0,100}})?:?=(?!=)",  # what is given a value
        r"\bfor\s([^\n:;]{1,200}?)\s(?:in|of)\b",
        r"\blambda\s([^\n:]{1,200}):",
    )
)


def foreign_calls(text: str) -> list[str]:
    """Names of functions and classes that a text calls and does not define, in their order, each as often as it is called."""
    called = [name for name in _CALL.findall(text) if name not in _NO_CALLS]
    if not called:
        return []
    own = {
        name for pattern in _OWN for found in pattern.finditer(text) for part in found.groups() for name in re.findall(_NAME, part)
    }
    return [name for name in called if name not in own]
