"""Which words turn the sense of a text? English opposites by their stems (accepted, rejected), and denials of many languages.

The lists are short: of what they lack, a pair of texts shows only that one word differs.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

_PAIRS = """
accept=reject accept=refuse accept=decline allow=forbid allow=prohibit allow=deny permit=forbid permit=prohibit approve=reject
grant=deny grant=refuse include=exclude increase=decrease increase=reduce rise=fall rose=fell grow=shrink gain=lose win=lose
won=lost pass=fail
succeed=fail success=failure start=stop begin=end began=ended open=close enter=leave arrive=depart buy=sell bought=sold
lend=borrow import=export attack=defend support=oppose agree=disagree agree=refuse confirm=deny confirm=refute create=destroy
build=destroy love=hate like=dislike remember=forget push=pull add=remove add=subtract insert=delete send=receive sent=received
enable=disable encrypt=decrypt upload=download connect=disconnect appear=disappear activate=inhibit promote=inhibit cause=prevent
enhance=reduce enhance=impair improve=worsen strengthen=weaken accelerate=slow raise=lower
always=never everyone=nobody everybody=nobody everything=nothing all=none all=no some=none any=no both=neither either=neither
more=less more=fewer most=least many=few much=little above=below over=under before=after earlier=later early=late until=from
with=without for=against inside=outside internal=external in=out on=off up=down to=from left=right north=south northern=southern
east=west eastern=western upper=lower top=bottom front=back first=last former=latter old=new old=young past=future ancient=modern
high=low higher=lower highest=lowest large=small larger=smaller largest=smallest big=small big=little great=small long=short
longer=shorter wide=narrow deep=shallow thick=thin heavy=light strong=weak stronger=weaker hard=soft hard=easy fast=slow quick=slow
hot=cold warm=cool wet=dry full=empty rich=poor good=bad better=worse best=worst right=wrong true=false yes=no positive=negative
active=passive active=inactive alive=dead male=female man=woman men=women father=mother son=daughter public=private maximum=minimum
mandatory=optional required=optional compulsory=voluntary temporary=permanent guilty=innocent safe=dangerous near=far present=absent
majority=minority winner=loser victory=defeat war=peace day=night morning=evening summer=winter must=may shall=may can=cannot
could=cannot if=unless same=different similar=different simple=complex common=rare rarely=often seldom=often frequently=rarely
"""
_DENIALS = """
not no never none nor neither nobody nothing nowhere without cannot hardly barely scarcely only except unless
nicht kein keine keinen keinem keiner keines nie niemals niemand nichts nirgends keineswegs keinesfalls weder kaum ohne nur ausser
ne pas jamais sans aucun aucune ni guère rien sauf seulement
nunca jamás sin ningún ninguno ninguna nada nadie tampoco excepto salvo solamente sólo
não nem nenhum nenhuma ninguém sem jamais apenas somente exceto
mai senza nessun nessuno nessuna né niente nulla soltanto tranne
niet geen nooit zonder nergens niemand
не нет ни никогда нельзя без никто ничего только кроме ні ніколи
nigdy nikt nic bez ani nikdy inte aldrig utan ingen ikke aldri uten uden ei eivät
değil nem soha nicio fără δεν μην όχι
لا لم لن ليس غير بدون לא אין ללא
नहीं मत बिना tidak bukan tanpa jangan không chẳng chưa
不 没 沒 無 无 未 않 못 없
"""
DENIALS = frozenset(_DENIALS.split())  # of a sentence, or of all cases but some
# Words of Italian: beside two of them "non" is a word, and no prefix.
ITALIAN = frozenset(("che", "è", "di", "il", "della", "gli", "sono", "per", "una", "nel"))
DENYING_ENDS = frozenset(("ない", "なか", "なく", "せん"))  # of Japanese, two signs
_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "anti")
_GRAMMAR = """
a an the this that these those it its he she they them his her their we our you your i me my who whom whose which what as of at
by on in into onto upon within during throughout through between among about approximately around near for to from and or but if
than then so such also too very quite rather most mostly much many more some any each every another several be been being is are
was were am has have had having do does did even however nevertheless although though while whereas because since there here
when where how again further additionally furthermore moreover therefore thus hence usually generally commonly often frequently
largely almost certain given all notably indeed namely
"""
GRAMMAR = frozenset(_GRAMMAR.split())  # one in place of another turns no sense, but where they are opposites of the list
_LEAST = 4  # letters of a word that a prefix stands before: "able" has an opposite, "it" has none
_KEPT = 8_192  # words whose opposites are remembered, of some 2 kB each: the pairs of a collection have much the same
_ENDING = re.compile(r"(?<=\w{3})(?:ied|ies|ing|ed|es|s|d|e)\Z")


def stem_of(word: str) -> str:
    """An English word without its ending."""
    return _ENDING.sub("", word)


def _by_stem() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pair in _PAIRS.split():
        for one, other in (pair.split("="), pair.split("=")[::-1]):
            for stem in {one, stem_of(one)}:
                found.setdefault(stem, set()).update({other, stem_of(other)})
    return {stem: frozenset(others) for stem, others in found.items()}


_OPPOSITES: Mapping[str, frozenset[str]] = _by_stem()


def turned(only_one: Iterable[str], only_other: Iterable[str]) -> int:
    """How many words of one text have their opposite in the other one; of those in lower case that either has alone."""
    forms = {form for word in only_other for form in (word, stem_of(word))}
    return sum(not forms.isdisjoint(_opposites(word)) for word in only_one)


@lru_cache(_KEPT)
def _opposites(word: str) -> frozenset[str]:
    stem = stem_of(word)
    others = set(_OPPOSITES.get(word, ())) | set(_OPPOSITES.get(stem, ()))
    for prefix in _PREFIXES:
        others |= {prefix + form for form in (word, stem) if len(form) >= _LEAST}
        others |= {
            form.removeprefix(prefix) for form in (word, stem) if len(form) >= len(prefix) + _LEAST and form.startswith(prefix)
        }
    return frozenset(others)
