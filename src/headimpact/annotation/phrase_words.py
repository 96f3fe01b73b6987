"""Word lists of the phrase rule: English words that open, end or describe a noun phrase in a caption."""


def _listed(words: str) -> frozenset[str]:
    """Give the words of a text as a set."""
    return frozenset(words.split())


ARTICLES = _listed("a an the his her its their my our your")
"""Words right after which a noun phrase begins, and right before which none ends."""

NUMBERS = _listed("one two three four five six seven eight nine ten eleven twelve dozen")

PREPOSITIONS = _listed(
    """
    aboard about above across against along alongside amid among amongst around at atop before behind below
    beneath beside besides between beyond by down during for from in inside into like near next of off on onto
    opposite out outside over past per than through throughout toward towards under underneath up upon via with within
    without
    """
)

OPENERS = (
    ARTICLES
    | NUMBERS
    | PREPOSITIONS
    | _listed(
        """
        this these those some any each every either neither another other others both all no several many few various
        multiple numerous more most much such same different certain whose
        """
    )
)
"""Words after which a word in -ing describes what follows ("a sleeping cat") and is no verb."""

BREAKERS = _listed(
    """
    and or but nor so yet as while when where because if though although that which who whom what how why to then
    i you he she it they we me him them us someone somebody something anyone anything everyone everything nobody nothing
    there here himself herself itself themselves is are was were be been being am isn't aren't wasn't has have had
    having do does did doing can could will would shall should may might must cannot not it's there's he's she's
    that's they're sat stood ran rode ate drove flew swam sang drank fell threw wore went came got took
    """
)
"""Words that end a noun phrase and after which a word in -ing is a verb ("and riding a bike")."""

ADVERBS = _listed(
    """
    very quite rather too also just only even still almost already again away back together apart ahead aside forward
    backward backwards forwards sideways upside downhill uphill upstairs downstairs outdoors indoors nearby overhead
    upside-down today now soon once twice perhaps maybe well
    """
)
"""Words that end a noun phrase and change nothing else; those in -ly count too, but for `LY_WORDS`."""

LY_WORDS = _listed(
    """
    family butterfly dragonfly belly jelly lily bully trolley rally ally curly elderly woolly hilly friendly lovely
    cuddly ugly silly smelly bubbly wrinkly gnarly lonely lively frilly fly assembly supply
    """
)

MODIFIERS = _listed(
    """
    red green blue yellow brown black white gray grey purple pink tan beige golden dark light bright pale colorful
    colourful big small large little tiny huge giant tall short long wide narrow thin thick high low old young new
    ancient modern vintage antique round square rectangular empty full open clean dirty wet dry hot cold fresh ripe
    beautiful pretty cute nice fancy delicious various wooden metallic fluffy furry shiny sunny cloudy grassy snowy
    rocky sandy muddy dusty rusty leafy busy crowded happy sad asleep awake alone ready able visible available close
    aerial bare male female adult ornate elegant soft hard heavy sharp wild tame bald blonde blond calm clear deep steep
    shallow flat quiet main own single upper lower fast slow nude dead alive afloat
    """
)
"""Adjectives: none is the last word of a noun phrase, and a phrase of nothing else names no object."""

ALSO_NOUNS = _listed("light square adult male female antique")
"""Adjectives that can be the noun too ("a street light")."""

NOUNS_IN_ING = _listed(
    """
    building ceiling clothing railing painting ring king string wing swing spring thing earring evening morning
    wedding dining living parking bedding icing frosting topping stuffing dressing filling pudding duckling dumpling
    gosling seedling sibling crossing clearing drawing lighting siding awning
    """
)

WORDS_IN_ED = _listed("hundred sacred naked rugged moped bobsled biped purebred thoroughbred flatbed seabed")
"""Words in -ed that are no past form of a verb; those in -eed (seed, weed) are none either."""

PARTICIPLES = _listed(
    """
    worn torn made built shown seen held taken given thrown driven ridden eaten frozen broken hung lit cut set laid
    left bound spread split woven grown known drawn written hidden kept sold caught fed led
    """
)
"""Irregular past forms: after a noun they end the phrase, before one they describe it ("a frozen lake")."""

VERBS = _listed(
    """
    sit stand hold ride wear lie lay eat look run walk play jump fly swing throw hit catch kick pull push carry drive
    use talk wait watch pose smile sleep rest lean hang show cover fill surround enjoy prepare cook drink swim surf
    skate climb cross perform contain feature depict float graze gather face reach read sell travel move sail land
    take make get go come try attempt serve clean brush crouch bend kneel approach chase lick bite sniff appear seem
    stare gaze glow bloom grow overlook emerge speed perch stretch roam drift dance sing work
    """
)
"""Verbs of captions, in the form after "they"; after "it" they get -s, -es or -ies."""

PLURALS = _listed("people men women children sheep cattle geese mice deer fish police kids")
"""Plural nouns that do not end in -s, or may stand before a verb without one."""

QUANTITIES = _listed(
    """
    group bunch pair couple lot lots number variety set series row rows herd flock pack pile stack piece pieces
    slice slices bit part kind type sort collection assortment array section handful mixture amount
    """
)
"""Nouns that are no object when "of" follows: in "a group of people" the people are."""

PLACES = _listed(
    """
    top bottom side sides front back rear middle center centre left right background foreground distance edge end
    corner day night time way place area air midair
    """
)
"""Nouns that name a place or time, unless another noun stands before them ("mountain top")."""

PICTURE_WORDS = _listed("picture photo photograph image view shot scene close-up closeup snapshot portrait")
"""Nouns for the picture itself."""
