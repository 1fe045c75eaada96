"""Which words may stand for one another? Common English ones of about the same sense, and forms that are not spelt alike.

The list is short, as that of opposites is: a word in place of another that it does not know may turn what a text says.
"""

from search.deduplication.opposites import stem_of

# Words of a line may stand for one another, and so may what has their stems. What stands in two lines does not join them.
_ALIKE = """
large big great sizable
huge enormous vast immense gigantic
small little tiny
significant important considerable notable
major key chief main principal primary leading
crucial critical vital essential
show demonstrate shown showed shows exhibit display
show indicate reveal illustrate
found discovered
found identified detected
find finds discover detect
many numerous multiple
several some various
various diverse varied
various different
often frequently commonly regularly
usually generally normally typically ordinarily
commonly usually generally
however nevertheless nonetheless
also additionally furthermore moreover besides
begin begins start starts commence
began begun started commenced
beginning start onset
end finish conclude complete
close shut closed
ended finished concluded completed
stop halt cease
use uses utilise utilize employ
used utilised utilized employed
using utilising utilizing employing
usage use utilisation
because since
method technique approach procedure
results outcomes consequences findings
increase rise growth
increased rose risen grew grown
increases rises grows
decrease decline drop reduction
decreased declined dropped
reduce lower decrease lessen
reduced low
include comprise contain
called named termed known
known recognised recognized
different distinct
between among amongst
people persons individuals
made produced created manufactured
make makes produce create manufacture
generate produce create
first 1st initial
new novel
new recent
study investigation research
studies investigations
examine investigate inspect study
examined investigated inspected studied
effect influence impact
affect influence
about approximately roughly around circa
during throughout
most almost
part portion piece
area region zone
areas regions zones
world globe
global worldwide
year annum
annual yearly
although though while whereas
within inside
through via
near close
nearby close
system scheme
number quantity amount
numbers quantities amounts
group cluster
group set collection
country nation
countries nations
city town
cities towns
built constructed erected
build construct erect
became turned
become turn
help assist aid
helped assisted aided
helps assists aids
necessary needed required
provide supply
provides supplies
given supplied
give gives supply grant
gave granted
obtained gained acquired got received
obtain gain acquire get
get receive
high elevated
cells units
rapid fast quick swift
rapidly quickly swiftly fast
slowly gradually
common widespread
has have had possess
owns possesses has
associated linked connected related
similar alike comparable
suggest indicate imply
suggested indicated implied
compared contrasted
total overall
total whole entire complete
entirely completely wholly totally fully
former previous prior earlier
previously formerly
later afterwards subsequently
afterwards then
current present
currently presently now
say says state
said stated
tell told inform informed
ask request
asked requested
answer reply respond response
answered replied responded
speak talk
buy purchase
bought purchased
sell sold vend
choose select pick
chosen selected picked
chose selected picked
keep retain maintain
kept retained maintained
keep hold
hold held
change alter modify
changed altered modified
changes alterations modifications
improve enhance
repair fix mend
repaired fixed mended
check verify
checked verified
try attempt
tried attempted
let allow permit
allowed permitted
enable allow
forbid prohibit ban
forbidden prohibited banned
happen occur
happened occurred
appear seem
believe think
believed thought
understand comprehend
want wish desire
leave left depart departed
arrive arrived reach reached
meet met gather gathered
met convened assembled
discussion debate
heard learned learnt
look view
observed noticed seen
remain stay
continue proceed
collect gather
divide split
join unite
join connect
attach fasten
send sent
place spot location site
places spots locations sites
located situated
way manner
ways manners
reason cause
cause causes induce trigger
aim goal objective purpose
aims goals objectives purposes
task job
error mistake fault
problem issue difficulty
problems issues difficulties
idea concept notion
kind type sort
kinds types sorts
example instance
benefit advantage
drawback disadvantage shortcoming
chance opportunity
power strength
difficult hard
difficult tough
easy simple
easily simply
quick fast prompt
immediately promptly instantly
correct right
correct accurate
wrong incorrect
false incorrect
exact precise
exactly precisely
clear evident obvious
clearly evidently obviously
probably likely presumably
perhaps maybe possibly
certainly surely definitely
enough sufficient
sufficiently enough
additional further extra
additional more
extra additional supplementary
real actual
really actually truly
unusual uncommon rare
strange odd peculiar
famous well-known
rich wealthy
happy glad
sad unhappy
nice pleasant
beautiful lovely
finished done completed
nearly almost
mainly mostly chiefly primarily principally largely
especially particularly notably
particular specific
together jointly
again once more anew
always constantly
sometimes occasionally
suddenly abruptly
therefore thus hence consequently
shall will
children kids
supper dinner
bring brings brought
build builds built
catch catches caught
come comes came
do does did done
draw draws drew drawn
eat eats ate eaten
fall falls fell fallen
feel feels felt
find finds found
fly flies flew flown
give gives gave given
go goes went gone going
get gets got gotten
keep keeps kept
know knows knew known
lead leads led
lose loses lost
make makes made making
mean means meant
pay pays paid
run runs ran running
say says said saying
see sees saw seen
sit sits sat sitting
speak speaks spoke spoken
stand stands stood
take takes took taken
teach teaches taught
think thinks thought
win wins won
write writes wrote written
man men
foot feet
tooth teeth
"""
_LEAST = 4  # letters of a stem: of fewer, other words have it, too


def _by_form() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for at, line in enumerate(_ALIKE.strip().splitlines()):
        for word in line.split():
            for form in _forms(word):
                found.setdefault(form, set()).add(at)
    return {form: frozenset(lines) for form, lines in found.items()}


def _forms(word: str) -> set[str]:
    short = stem_of(word)
    return {word, short} if len(short) >= _LEAST else {word}


_LINES = _by_form()


def senses(word: str) -> set[int]:
    """Of a word in lower case, the senses that are known: one that has one of them, too, may stand for it."""
    return {line for form in _forms(word) for line in _LINES.get(form, ())}
