"""Which characters do the names of roff stand for? Those of groff, which hold all of older ones."""

# ruff: noqa: RUF001  # they look alike

import re
import unicodedata
from functools import lru_cache

_TABLE = """
hy - en – em — bu • sq □ lz ◊ rs \\ sl / ul _ ru _ br │ bv | ba | bb ¦ or | aq ' oq ‘ cq ’ dq " lq “ rq ” Bq „ bq ‚ fo ‹ fc ›
Fo « Fc » ha ^ ti ~ at @ sh # Do $ po £ ct ¢ Ye ¥ Eu € eu € Cs ¤ Po £ de ° dg † dd ‡ sc § ps ¶ ci ○ co © rg ® tm ™ lh ☜ rh ☞
ga ` aa ´ ac ¸ ad ¨ ah ˇ ao ˚ ab ˘ a- ¯ a. ˙ a^ ^ a" ˝ a~ ~ ho ˛ mc µ r! ¡ r? ¿ Of ª Om º S1 ¹ S2 ² S3 ³ 12 ½ 14 ¼ 34 ¾ 18 ⅛
38 ⅜ 58 ⅝ 78 ⅞ f/ ⁄ fm ′ sd ″ %0 ‰ lB [ rB ] lC { rC } la ⟨ ra ⟩ lc ⌈ rc ⌉ lf ⌊ rf ⌋ <- ← -> → <> ↔ ua ↑ da ↓ va ↕ lA ⇐ rA ⇒
hA ⇔ uA ⇑ dA ⇓ an ─ CR ↵ pl + mi - -+ ∓ +- ± mu × di ÷ tmu × tdi ÷ ** ∗ md ⋅ pc · eq = == ≡ != ≠ ne ≢ <= ≤ >= ≥ << ≪ >> ≫ ap ∼
=~ ≅ ~= ≅ ~~ ≈ |= ≃ pt ∝ if ∞ no ¬ tno ¬ AN ∧ OR ∨ te ∃ fa ∀ st ∋ tf ∴ 3d ∴ mo ∈ nm ∉ sb ⊂ sp ⊃ ib ⊆ ip ⊇ nb ⊄ nc ⊅ ca ∩ cu ∪
es ∅ Ah ℵ Im ℑ Re ℜ wp ℘ pd ∂ gr ∇ is ∫ integral ∫ sum ∑ product ∏ coproduct ∐ sr √ sqrt √ c* ⊗ c+ ⊕ /_ ∠ pp ⊥ hbar ℏ -h ℏ CL ♣
SP ♠ HE ♥ DI ♦ OK ✓ AE Æ ae æ OE Œ oe œ IJ Ĳ ij ĳ ss ß -D Ð Sd ð TP Þ Tp þ .i ı .j ȷ /L Ł /l ł /O Ø /o ø oA Å oa å ff ff fi fi
fl fl Fi ffi Fl ffl *A Α *B Β *G Γ *D Δ *E Ε *Z Ζ *Y Η *H Θ *I Ι *K Κ *L Λ *M Μ *N Ν *C Ξ *O Ο *P Π *R Ρ *S Σ *T Τ *U Υ *F Φ
*X Χ *Q Ψ *W Ω *a α *b β *g γ *d δ *e ε *z ζ *y η *h θ *i ι *k κ *l λ *m μ *n ν *c ξ *o ο *p π *r ρ *s σ ts ς *t τ *u υ *f ϕ
+f φ *x χ *q ψ *w ω +h ϑ +p ϖ +e ϵ
"""  # names, each with what it stands for
_NAMED = _TABLE.split()
_NAMES = dict(zip(_NAMED[::2], _NAMED[1::2], strict=True)) | {"lt": "⎧", "fm": "'", "sd": '"'}
_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", ":": "\u0308", "~": "\u0303", ",": "\u0327", "v": "\u030c", "o": "\u030a"}
_ACCENTED = re.compile(r"(['`^:~,vo])([A-Za-z])")  # a name of an accent and a letter
_MARKS = {  # of names of several glyphs, behind the first
    "aa": "\u0301", "ga": "\u0300", "a^": "\u0302", "ad": "\u0308", "a~": "\u0303", "ac": "\u0327", "ah": "\u030c", "ao": "\u030a",
    "ab": "\u0306", "a-": "\u0304", "a.": "\u0307", 'a"': "\u030b", "ho": "\u0328",
}  # fmt: skip
_BY_NUMBER = re.compile(r"u([0-9A-F]{4,6}(?:_[0-9A-F]{4,6}){0,9})|char(\d{1,7})")
_LAST = 0x10FFFF
_KEPT = 2_000  # names with what they stand for: more than there are, and no more of a page that makes names up
_HALVES = range(0xD800, 0xE000)


@lru_cache(_KEPT)
def glyph(name: str) -> str:
    """The characters that a name stands for; empty if nothing is known of that name."""
    if found := _NAMES.get(name):
        return found
    if numbered := _BY_NUMBER.fullmatch(name):
        numbers = [int(numbered[2])] if numbered[2] else [int(one, 16) for one in numbered[1].split("_")]
        return unicodedata.normalize("NFC", "".join(map(character, numbers)))
    if accented := _ACCENTED.fullmatch(name):
        return unicodedata.normalize("NFC", accented[2] + _ACCENTS[accented[1]])
    first, *marks = name.split(" ")
    if marks and all(mark in _MARKS for mark in marks):
        return unicodedata.normalize("NFC", (glyph(first) or first) + "".join(_MARKS[mark] for mark in marks))
    return ""


def character(number: int) -> str:
    """The character of a number; empty where there is none, or half of one."""
    return chr(number) if 0 < number <= _LAST and number not in _HALVES else ""
