"""Near-duplicates and near misses of known kinds, made by rules from texts: what benchmarks/dedupe.py measures and fits on."""

# ruff: noqa: PLR2004  # rules are made of numbers

import ast
import builtins
import keyword
import random
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
SYNONYMS = dict(
    pair.split("=")
    for pair in re.findall(
        r"\S+",
        """
        large=big big=large small=little important=significant significant=important show=demonstrate shows=demonstrates
        found=discovered many=numerous several=some often=frequently however=nevertheless also=additionally begin=start
        began=started began=commenced used=employed use=utilise using=utilising because=since main=principal major=chief
        method=technique methods=techniques result=outcome results=outcomes increase=rise increased=rose increases=rises
        include=comprise includes=comprises including=comprising called=named known=recognised different=distinct
        between=among people=persons made=produced first=initial new=novel study=investigation effect=influence
        effects=influences about=approximately during=throughout most=almost-all part=portion area=region world=globe
        years=annums although=though while=whereas within=inside near=close-to through=via often=commonly usually=generally
        system=scheme number=quantity group=cluster country=nation city=town built=constructed became=turned help=assist
        helps=assists need=require needs=requires provide=supply provides=supplies given=supplied obtained=gained
        high=elevated low=reduced cells=cell-units rapid=fast rapidly=quickly common=widespread major=key various=diverse
        has=possesses produce=generate produces=generates associated=linked related=connected similar=alike suggest=indicate
        suggests=indicates compared=contrasted total=overall former=previous later=afterwards
        """,
    )
)
CLAUSES = (
    "Notice under this paragraph is given in writing to the registered office of the other party.",
    "The supplier carries the cost of transport until the goods have been accepted by the customer.",
    "Neither party is liable for delays that are caused by events outside its reasonable control.",
    "Either party may end this agreement by giving notice of sixty days before the end of a year.",
    "Confidential information is returned or destroyed within a month after the agreement has ended.",
    "Disputes are brought before the courts at the seat of the supplier, to the exclusion of all others.",
    "The customer may not assign rights under this agreement without consent of the supplier.",
    "Invoices are paid within thirty days of receipt, without deduction and in the currency agreed upon.",
    "The warranty lasts for two years from delivery and covers faults of material and workmanship.",
    "Changes to this agreement are valid only where both parties have signed them.",
    "Personal data are processed only as far as the performance of the agreement requires it.",
    "Spare parts are kept available for ten years after the last delivery of the product.",
    "The supplier insures its liability for at least the value of the yearly contract volume.",
    "Subcontractors may be engaged once the customer has been told of their names and tasks.",
    "Title to the goods passes to the customer when the price has been paid in full.",
    "Acceptance tests are carried out jointly and recorded in minutes that both parties sign.",
)
OTHER_CLAUSES = (  # of what coefficients are fitted on
    "Tenants keep the stairs free and lock the front door after nine in the evening.",
    "The deposit is held in a separate account and returned with interest after moving out.",
    "Pets other than small animals in cages need the consent of the landlord.",
    "Repairs up to a fixed amount in a single case are paid for by the tenant.",
    "Bicycles are kept in the cellar, and never in the corridor or on balconies.",
    "The rent is due on the third working day of each month, in advance.",
    "Subletting of the whole apartment is not allowed; that of a room needs consent.",
    "The landlord may enter the apartment after notice of two days, or at once in danger.",
    "Heating costs are shared by measured consumption and by floor space in equal parts.",
    "Structural changes are undone at the end unless the landlord wishes to keep them.",
    "Keys that are lost are replaced, with the lock where need be, at the cost of who lost them.",
    "Noise is avoided between one and three in the afternoon and after ten at night.",
)
TEMPLATES = (
    "In quarter {} of {} the company in {} had revenue of {} million and a loss of {} million, after {} million a year before.",
    "On {} May {} the station at {} measured {} millimetres of rain, wind of {} kilometres an hour and {} degrees at noon.",
    "Order {} of {} from {}: {} boxes of screws, {} kilograms of nails and {} metres of wire, for the usual address.",
    "Flight {} of {} to {} leaves from gate {} at platform {} with {} passengers on board and arrives as planned.",
)
OTHER_TEMPLATES = (
    "Patient {} of ward {} in {} had a pulse of {}, a temperature of {} and slept for {} hours without interruption.",
    "The match of day {} in season {} in {} ended {} to {} before {} spectators, who stayed to the end in spite of rain.",
    "House {} in street {} of {} has {} rooms on {} floors, a garden of {} square metres and is let from the first of next month.",
)
NEGATED = "is=is-not was=was-not are=are-not were=were-not can=cannot must=must-not has=has-no may=may-not had=had-no"
TURNS = (  # in the way that they stand in a text, both ways
    "accepted=rejected allowed=forbidden increased=decreased increase=decrease higher=lower before=after with=without more=less "
    "largest=smallest first=last northern=southern north=south east=west early=late old=young won=lost included=excluded "
    "always=never many=few legal=illegal common=uncommon positive=negative male=female internal=external upper=lower "
    "enabled=disabled strong=weak"
)
RARE_TURNS = (  # that no list of the package has
    "major=minor expensive=cheap loud=quiet ascending=descending sweet=bitter urban=rural acquired=divested married=divorced "
    "clockwise=counterclockwise sharp=blunt profit=deficit inhaled=exhaled teacher=pupil elevated=suppressed survived=perished "
    "civilian=military wild=tame domestic=foreign solid=liquid husband=wife king=queen actor=actress hero=villain "
    "activation=repression upstream=downstream"
)
OTHER_TURNS = (  # of what coefficients are fitted on
    "approved=denied permitted=prohibited rose=fell rises=falls above=below over=under for=against most=least western=eastern "
    "south=north later=earlier ancient=modern lost=won began=ended never=always possible=impossible regular=irregular "
    "inside=outside lower=higher long=short rich=poor entered=left guilty=innocent sold=bought front=back"
)
OTHER_RARE_TURNS = (
    "crowded=deserted secret=published merged=split lender=debtor prose=verse brother=sister founded=abolished "
    "friendly=hostile peaceful=violent amateur=professional rising=sinking conservative=liberal Catholic=Protestant "
    "republican=royalist parent=child tropical=arctic sacred=profane optimistic=gloomy literary=oral fresh=stale victory=rout"
)
RARE_SYNONYMS = (  # that no list of the package has
    "film=movie disease=ailment cancer=malignancy mice=rodents tumor=neoplasm children=youngsters song=tune drug=medication "
    "therapy=remedy story=tale title=heading health=wellness survival=endurance house=dwelling recorded=taped written=penned "
    "potential=prospective death=demise season=campaign team=squad proteins=polypeptides relationship=bond data=measurements "
    "analysis=examination events=occurrences women=females character=figure features=traits loss=forfeiture"
)
OTHER_RARE_SYNONYMS = (  # of what coefficients are fitted on
    "government=administration population=populace century=hundred-years army=troops trade=commerce school=academy music=melody "
    "students=pupils capital=metropolis religious=devout energy=vigour king=monarch ancient=antique war=hostilities evidence=proof "
    "famous=renowned policy=strategy company=firm home=residence foreign=overseas buildings=edifices leader=chief land=terrain "
    "construction=assembly market=marketplace rights=entitlements members=affiliates education=schooling final=closing law=statute"
)
THINGS = (  # words of one kind, that no list of the package has, either way
    "father=uncle mother=aunt son=nephew daughter=niece church=castle film=novel song=poem album=magazine episode=scene "
    "television=radio protein=lipid gene=enzyme mice=monkeys blood=urine brain=liver bone=muscle heart=lung kidney=spleen "
    "cancer=diabetes infection=allergy weeks=months days=hours adult=juvenile red=green blue=yellow acid=alcohol therapy=surgery "
    "actor=singer directed=photographed police=clergy mouse=rabbit plasma=saliva girl=boy ship=train"
)
OTHER_THINGS = (  # of what coefficients are fitted on
    "village=suburb government=parliament century=decade language=religion army=navy river=mountain water=gas students=soldiers "
    "energy=steel education=agriculture trade=tourism emperor=pope gold=copper food=clothing wood=stone animals=plants "
    "birds=insects political=musical economic=artistic building=garden translated=published railway=canal university=monastery "
    "iron=tin schools=prisons farmers=miners teachers=lawyers cotton=sugar winter=autumn oxygen=nitrogen "
    "theatre=library island=peninsula"
)
NUMBERS = (
    "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty",
    "second third fourth fifth sixth seventh eighth ninth tenth",
    "hundred thousand million",
    "once twice",
    "half double",
)
CODE_TURNS = (
    ("+", "-"),
    ("-", "+"),
    ("<", ">"),
    (">", "<"),
    ("<=", ">="),
    (">=", "<="),
    ("==", "!="),
    ("!=", "=="),
    ("and", "or"),
    ("or", "and"),
    ("True", "False"),
    ("False", "True"),
    ("is not", "is"),
    ("min", "max"),
    ("max", "min"),
)
METHODS = ("append", "remove", "upper", "lower", "read", "write", "first", "last", "open", "close", "lock", "release")
OTHER_METHODS = ("extend", "clear", "strip", "title", "load", "dump", "start", "stop", "connect", "discard", "push", "pull")
PLACES = (
    "Oslo",
    "Bergen",
    "Turku",
    "Gdansk",
    "Lyon",
    "Porto",
    "Graz",
    "Trieste",
    "Leeds",
    "Cork",
    "Ghent",
    "Basel",
    "Varna",
    "Bilbao",
)
SHAPES = ("copy", "edit", "one word", "paraphrase", "moved code", "words not listed")


class Planted(NamedTuple):
    """A text made from another one."""

    text: str
    kind: str


def sentences(text: str) -> list[str]:
    """A text cut at the ends of sentences."""
    return [one for one in SENTENCE.split(text.strip()) if one]


def copied(text: str, chance: random.Random, *, code: bool = False) -> str:
    """The same words with other white space, case or markup; of code, other indentation, blank lines and ends of lines."""
    if code:
        lines = text.split("\n")
        changed = [line.replace("    ", "\t") if chance.random() < 0.9 else line for line in lines]
        return "\n\n".join(changed) if chance.random() < 0.3 else "\r\n".join(changed) + "\n"
    shape = chance.randrange(4)
    if shape == 0:
        return text.upper()
    if shape == 1:
        return "\n".join(f"  {one}  " for one in sentences(text))
    if shape == 2:
        return "<p>" + "</p>\n<p>".join(re.sub(r"(\w{7,})", r"<b>\1</b>", one, count=1) for one in sentences(text)) + "</p>"
    return "* " + "\n* ".join(re.sub(r"(\w{7,})", r"**\1**", one, count=1) for one in sentences(text))


def edited(text: str, chance: random.Random) -> str:
    """Two to five words changed, and one of: sentences swapped, a sentence dropped, a remark put behind. No number is touched."""
    parts = sentences(text)
    if len(parts) > 2:
        turn = chance.randrange(3)
        at = chance.randrange(len(parts) - 1)
        if turn == 0:
            parts[at], parts[at + 1] = parts[at + 1], parts[at]
        elif turn == 1:
            del parts[at]
        else:
            parts.append("This was reviewed again later.")
    words = " ".join(parts).split(" ")
    plain = [at for at, word in enumerate(words) if word.isalpha() and word.islower() and len(word) > 3]
    for at in chance.sample(plain, min(len(plain), chance.randint(2, 5))):
        words[at] = SYNONYMS.get(words[at], chance.choice(("rather", "mostly", "certain", "given", "such", "further")))
    return " ".join(words)


def one_word_edited(text: str, chance: random.Random) -> str | None:
    """One word by a synonym, and nothing else; None where no word has one."""
    words = text.split(" ")
    known = [at for at, word in enumerate(words) if word in SYNONYMS]
    if not known:
        return None
    at = chance.choice(known)
    words[at] = SYNONYMS[words[at]].replace("-", " ")
    return " ".join(words)


def turned(text: str, chance: random.Random, turns: str) -> str | None:
    """A near miss: the sense of a text turned by one word, and nothing else; None where it has none of those words."""
    opposites: dict[str, list[str]] = {}
    for pair in turns.split():
        one, other = pair.split("=")
        opposites.setdefault(one, []).append(other.replace("-", " "))
        if "-" not in other:
            opposites.setdefault(other, []).append(one)
    words = text.split(" ")
    known = [at for at, word in enumerate(words) if word in opposites]
    if not known:
        return None
    kinds = sorted({words[at] for at in known})  # not by how often they stand there: "is" would be most of them
    kind = chance.choice(kinds)
    at = chance.choice([at for at in known if words[at] == kind])
    words[at] = chance.choice(opposites[kind])
    return " ".join(words)


def reworded(text: str, chance: random.Random, synonyms: str) -> str | None:
    """One to four words by synonyms, and nothing else; None where there are too few that have one."""
    return _exchanged(text, chance, [one.split("=") for one in synonyms.split()], chance.randint(1, 4))


def of_other_things(text: str, chance: random.Random, things: str, *, numbers: bool) -> str | None:
    """A near miss: two to four words by others of their kind, and nothing else; None where there are too few.

    Args:
        text: what is changed.
        chance: what is drawn from.
        things: pairs of words of a kind.
        numbers: whether one to all of them are numbers, written as words.
    """
    pairs = [pair for one in things.split() for pair in (one.split("="), one.split("=")[::-1])]
    count = chance.randint(2, 4)
    if not numbers:
        return _exchanged(text, chance, pairs, count)
    counted = [
        (word, chance.choice([other for other in some if other != word])) for some in map(str.split, NUMBERS) for word in some
    ]
    of_numbers = chance.randint(1, count)
    changed = _exchanged(text, chance, counted, of_numbers)
    return changed if changed is None or of_numbers == count else _exchanged(changed, chance, pairs, count - of_numbers)


def _exchanged(text: str, chance: random.Random, pairs: Iterable[Sequence[str]], count: int) -> str | None:
    """Some words, in as many places, by their counterparts; None where fewer stand there, or two would only change places."""
    counterparts = {one: other.replace("-", " ") for one, other in pairs}
    words = text.split(" ")
    known = [at for at, word in enumerate(words) if word in counterparts]
    if len(known) < count:
        return None
    places = chance.sample(known, count)
    gone, come = [words[at] for at in places], [counterparts[words[at]] for at in places]
    for at, word in zip(places, come, strict=True):
        words[at] = word
    return " ".join(words) if set(gone).isdisjoint(come) else None


def turned_code(text: str, chance: random.Random) -> str | None:
    """A near miss: code of which one operator, constant or called function is its opposite; None where there is none."""
    places = [
        (at.start(), one, other) for one, other in CODE_TURNS for at in re.finditer(rf"(?<=[ (]){re.escape(one)}(?=[ ,:(\n])", text)
    ]
    if not places:
        return None
    at, one, other = chance.choice(places)
    return text[:at] + other + text[at + len(one) :]


def called_otherwise(text: str, chance: random.Random, methods: tuple[str, ...]) -> str | None:
    """A near miss: code that calls another method in one place; None where it calls none."""
    calls = list(re.finditer(r"(?<=[\w)\]]\.)[a-z_]{3,}(?=\()", text))
    if not calls:
        return None
    call = chance.choice(calls)
    other = chance.choice([method for method in methods if method != call[0]])
    return f"{text[: call.start()]}{other}{text[call.end() :]}"


def paraphrased(text: str, chance: random.Random) -> str:
    """By rules: every known word by a synonym, sentences in another order, clauses at commas turned round, fillers put before."""
    parts = []
    for one in sentences(text):
        said = WORD.sub(lambda match: SYNONYMS.get(match[0], match[0]).replace("-", " "), one)
        first, comma, rest = said.rstrip(".").partition(", ")
        if comma and len(first.split()) > 3 and len(rest.split()) > 3:
            said = f"{rest[0].upper()}{rest[1:]}, {first[0].lower()}{first[1:]}."
        parts.append(chance.choice(("", "", "In fact, ", "It is said that ", "Notably, ")) + said)
    chance.shuffle(parts)
    return " ".join(parts)


def moved(text: str, chance: random.Random) -> str | None:
    """Code whose own names are others, and whose functions stand in another order; None where there is too little to rename."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    names = {name for name in names if name not in dir(builtins) and not keyword.iskeyword(name) and name not in {"self", "cls"}}
    if len(names) < 2 or len(text.split()) < 25:
        return None
    new = dict(zip(sorted(names), chance.sample(NAMES, len(names)), strict=True)) if len(names) <= len(NAMES) else {}
    # Neither what is asked of others nor what a string says changes.
    renamed = re.sub(r"(['\"])[^'\"\n]+\1|(?<!\.)\b[^\W\d]\w*\b", lambda match: new.get(match[0], match[0]), text)
    pieces = re.split(r"\n(?=def |class |@)", renamed)
    if len(pieces) > 1:
        head, *rest = pieces if not pieces[0].startswith(("def ", "class ", "@")) else ["", *pieces]
        chance.shuffle(rest)
        renamed = "\n".join([head, *rest]).strip("\n")
    return renamed


FIRST, SECOND = ("src", "tmp", "val", "obj", "res", "cur", "acc", "buf", "key", "row"), ("a", "b", "item", "part", "data")
NAMES = [f"{first}_{second}" for first in FIRST for second in SECOND]


def templated(chance: random.Random, templates: tuple[str, ...], count: int) -> list[str]:
    """Near misses: texts of one template with other numbers and another place each."""
    template = chance.choice(templates)
    return [template.format(*_numbers(template, chance)) for _ in range(count)]


def one_number_changed(chance: random.Random, templates: tuple[str, ...]) -> list[str]:
    """Near misses: two texts of one template of which one number differs."""
    template = chance.choice(templates)
    numbers = _numbers(template, chance)
    other = list(numbers)
    at = chance.choice([at for at, number in enumerate(numbers) if number.isdigit()])
    other[at] = str(int(numbers[at]) + chance.choice((1, 2, 10, 100)))
    return [template.format(*numbers), template.format(*other)]


def _numbers(template: str, chance: random.Random) -> list[str]:
    numbers = [str(chance.randint(2, 9999)) for _ in range(template.count("{}"))]
    numbers[2] = chance.choice(PLACES)
    return numbers


def boilerplate(chance: random.Random, clauses: tuple[str, ...]) -> list[str]:
    """Near misses: two contracts of four clauses or more, of which one differs."""
    count = chance.randint(4, len(clauses) - 2)
    chosen = chance.sample(clauses, count + 1)
    other = list(chosen[:count])
    other[chance.randrange(count)] = chosen[count]
    return [" ".join(chosen[:count]), " ".join(other)]
