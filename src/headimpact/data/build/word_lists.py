"""Closed lists of English words that stand in for a grammar; `grammar` says how they are used."""

from headimpact.data.synonyms import IRREGULAR_PLURALS, plural


def _words(text: str) -> frozenset[str]:
    """Split a list written as a text."""
    return frozenset(text.split())


DETERMINERS = _words(
    "a an the this these those his her their its my your our some any each every another both several many few all "
    "other half one two three four five six seven eight nine ten eleven twelve dozen dozens multiple various numerous "
    "different more most such"
)
"""Words that open a noun phrase or stand before its adjectives."""

ADJECTIVES = _words(
    "small large big little tiny huge giant great tall short long wide narrow young old older elderly new white black "
    "brown red blue green yellow gray grey pink purple tan golden silver beige dark light bright colorful colourful "
    "orange wooden metal plastic stone brick leather pretty cute beautiful nice happy empty full fresh ripe raw hot "
    "cold clean dirty wet dry open modern vintage antique fat skinny thin furry fluffy fuzzy shaggy wild male female "
    "adult toy same lone solitary single double round square flat fancy plain busy crowded quiet public steam "
    "passenger beautifully very quite extremely striped spotted colored coloured lovely delicious homemade"
)
"""Adjectives that are common in captions; none of them ends or begins anything."""

PREPOSITIONS = _words(
    "with without in on at by from for to into onto inside outside over under underneath through throughout around "
    "along alongside across against among amongst amid above below beneath beside besides between behind before after "
    "toward towards off out near nearby atop beyond during within upon past via like than opposite next up down about "
    "aboard ahead adjacent"
)
"""Prepositions except "of", and words that lead into one ("next to")."""

LINKS = _words("that which who whom whose where when while as because so if although until but or")
"""Words that open a clause, and conjunctions after which the picture's subject is not the matter any more.

"or" and "but" are here, "and" is not: "a dog and a cat" has two subjects.
"""

BEING = _words(
    "is are was were am be been being isn't aren't wasn't weren't has have had hasn't haven't having can could will "
    "would may might must should do does did don't doesn't didn't can't cannot won't"
)
"""Forms of "to be" and "to have", and auxiliary verbs."""

OTHER_FUNCTION_WORDS = _words(
    "and nor not no it he she they him them himself herself itself themselves there here together away apart "
    "side still also just only very of"
)
"""Further words that are no content word."""

OPENERS = (DETERMINERS | ADJECTIVES | BEING - _words("has have had having")) | _words(
    "there here it 's we you i see of that only picture pictures photo photos photograph photographs pic image images "
    "shot view snapshot snap portrait selfie scene look close closeup up showing shows show depicting depicts "
    "featuring features displaying framed cropped aerial overhead side front back top inside"
)
"""Words before the first noun that matters: "this is a picture of", "there are two"."""

TRANSPARENT_NOUNS = _words(
    "group groups couple pair pairs bunch bunches herd herds flock flocks pack crowd row rows line lines pile piles "
    "stack stacks set collection number lot lots variety assortment team family gang swarm school dozens plenty "
    "hundreds array bouquet display arrangement cluster some many several all most one two three four five six each "
    "both none picture pictures photo photograph pic image images shot view closeup up close portrait "
    "snapshot selfie scene type kind sort pieces piece slice slices half halves plate plates bowl bowls tray trays "
    "basket baskets box boxes bag cup cups glass glasses vase vases jar pot pan pair side sides front back top inside "
    "interior exterior outside part end head face rear middle"
)
"""Nouns whose "of" is looked through: groups, amounts, containers, views and sides of a thing.

Not here, so that what follows is no subject: "statue of", "painting of", "reflection of", "front of" after "in".
"""

_VERBS = (
    "sit stand walk run ride play hold eat look lie lay jump fly swing hit throw catch drive carry wear sleep rest "
    "watch wait hang cross graze drink stare smile pose talk use cut make cook prepare take pull push travel move sail "
    "float swim surf skate climb fall turn go come get stop show do see face sniff lick chew bite reach lean kneel "
    "crouch perform compete race gather share feed pet wash clean read write work serve display feature contain "
    "include cover fill surround line overlook approach enter leave pass follow chase fight kick toss pitch practice "
    "try attempt point put place set wave blow open touch kiss hug dance sing laugh listen enjoy relax celebrate hike "
    "roam wander drop roll slide speed land arrive depart head peer peek peak appear seem need want give help sell buy "
    "grow bloom burn hover soar dive glide perch sprawl nap lounge stretch crawl stick huddle nibble nuzzle"
)
BASE_VERBS = _words(_VERBS)
"""Verbs as they stand after a plural: "people ride"."""

THIRD_PERSON_VERBS = frozenset(plural(verb) for verb in BASE_VERBS) | _words("goes does")
"""Verbs as they stand after a singular: "a man rides"."""

PAST_VERBS = _words("sat stood rode held ate ran flew threw drove slept took got came went fell swam wore hung drank")
"""Irregular past forms that can hardly be anything else."""

PARTICIPLES = _words(
    "taken worn eaten driven thrown drawn written made seen shown held hung built bent left kept caught cut set stuck "
    "lit laid sliced"
)
"""Irregular participles; they end a noun phrase only before a function word, as words in -ed do."""

PLAIN_ING = _words(
    "building ceiling dining living parking wedding evening morning clothing railing string spring something anything "
    "nothing everything pudding awning frosting icing topping stuffing painting drawing crossing sling sting herring "
    "earring sibling duckling gosling dumpling sapling outing setting opening stocking lighting bedding siding flooring"
)
PLAIN_ED = _words("speed breed hundred naked wicked steed moped indeed")
"""Words that end like a participle and are none."""

NEGATORS = _words(
    "no not without nor neither never lacking zero missing none isn't aren't wasn't weren't doesn't don't hasn't "
    "haven't cannot can't"
)
"""Words after which a name is not in the picture."""

COMPOUND_HEADS = _words(
    "house trailer food collar leash park station stop shelter depot yard platform terminal stand shop store market "
    "dealership lot garage rack seat tire wheel mirror window door hood lane path trail crossing field pen barn stable "
    "farm pasture corral cage feeder nest bath feather costume suit mask hat statue sculpture figurine figure doll "
    "print pattern design logo sticker poster painting drawing picture photo cartoon cookie shape style size fur skin "
    "hide leather meat salad soup sauce juice pie bread muffin peel tree cutter box dough holder case cover pad room "
    "court hall office department aisle shelf cabinet drawer counter repair rental maker dock port harbor hangar "
    "runway museum league game match uniform cap jersey diamond tournament club resort slope lift lodge competition "
    "contest festival party stall paper brush lid handle frame spread post tower lamp mat shadow silhouette walker "
    "trainer lover track ride race show shaped themed styled sized patterned print printed"
)
"""Nouns and adjectives that make of a name before them something else: "a dog bed", "cat shaped"."""

DRAWN = _words("drawn pulled led")
RIDERS = _words("rider riders jockey jockeys")
"""What follows a name that is there but not the matter: "horse drawn carriage", "motorcycle riders"."""

ADJECTIVE_NAMES = _words(
    "male female adult baby infant toddler teen human orange glass semi mother father family team youth"
)
"""Names that are as often an adjective: they count where no noun follows."""

PIECES = _words("slice slices half halves wedge wedges piece pieces")
"""Nouns before which a name of that kind counts all the same: "orange slices"."""

VERB_NAMES = _words(
    "ski skis skateboard skateboards snowboard snowboards bike bikes bicycle bicycles bat bats boat boats train trains "
    "book books couch kite kites"
)
"""Names that are a verb where they follow a person: "a man skis"."""

INVARIABLE = _words("sheep aircraft cattle luggage baggage broccoli")
"""Names whose plural is written like the singular, and such as have none."""

COLLECTIVE_NAMES = _words("couple family team crowd youth people")
"""Names in the singular that stand for several."""

MANY = _words(
    "two three four five six seven eight nine ten several many few some multiple various both 2 3 4 5 6 7 8 9"
)
"""Words that say there are several, though the noun be written in the singular."""

FUNCTION_WORDS = DETERMINERS | PREPOSITIONS | LINKS | BEING | OTHER_FUNCTION_WORDS
PLURALS = frozenset(IRREGULAR_PLURALS.values()) - {"someone", "luggage", "baggage"} | _words("men women")
"""Irregular plurals."""
