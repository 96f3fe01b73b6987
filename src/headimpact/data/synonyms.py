"""Words that name an object: one small table for COCO's categories, matched at word boundaries."""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        category: tuple(word.strip() for word in words.split(",") if word.strip())
        for category, words in {
            "person": "persons, man, woman, boy, girl, child, kid, baby, toddler, infant, guy, lady, gentleman, male, "
            "female, adult, teenager, teen, player, batter, baseball pitcher, umpire, catcher, skier, snowboarder, "
            "skateboarder, surfer, rider, cyclist, biker, bicyclist, motorcyclist, driver, passenger, pedestrian, "
            "tourist, worker, chef, officer, policeman, fireman, soldier, student, bride, groom, couple, crowd, "
            "family, someone, human, athlete, jockey, cowboy, farmer, vendor, spectator, mother, father, swimmer, mom, "
            "dad, friend, individual, youth, team, runner, skater, golfer, hiker, dancer, musician, referee, goalie, "
            "waiter, waitress, customer, shopper, businessman, fisherman, firefighter, cop, sailor, photographer",
            "bicycle": "bike, tricycle",
            "car": "automobile, sedan, taxi, cab, suv, minivan, van, jeep, convertible",
            "motorcycle": "motorbike, motor bike, motor cycle, scooter, moped, dirt bike, dirtbike",
            "airplane": "plane, aeroplane, aircraft, jet, jetliner, airliner, biplane, seaplane",
            "bus": "double decker, minibus, trolleybus, school bus",
            "train": "locomotive, railcar, tram, trolley, streetcar, subway, train car, train engine",
            "truck": "pickup, lorry, tow truck, fire truck, firetruck, semi",
            "boat": "ship, sailboat, canoe, kayak, ferry, yacht, rowboat, raft, dinghy, barge, gondola, speedboat",
            "traffic light": "stoplight, stop light, traffic signal, street light, red light, green light",
            "fire hydrant": "hydrant, fireplug, water hydrant",
            "stop sign": "stopsign",
            "parking meter": "meter",
            "bench": "park bench",
            "bird": "parrot, pigeon, seagull, gull, duck, goose, swan, owl, eagle, hawk, chicken, rooster, hen, "
            "ostrich, flamingo, pelican, crow, sparrow, peacock, penguin, parakeet, finch, robin, heron",
            "cat": "kitten, kitty, feline, tabby",
            "dog": "puppy, pup, canine, doggy, poodle, terrier, bulldog, labrador, retriever, beagle, dachshund, "
            "chihuahua, pug, shepherd, collie, dalmatian, husky",
            "horse": "pony, mare, stallion, foal, colt",
            "sheep": "lamb, ram, ewe",
            "cow": "bull, cattle, calf, ox, bovine, heifer",
            "elephant": "baby elephant",
            "bear": "polar bear, bear cub, grizzly, panda",
            "zebra": "baby zebra",
            "giraffe": "baby giraffe",
            "backpack": "back pack, knapsack, rucksack, book bag, bookbag",
            "umbrella": "parasol",
            "handbag": "hand bag, purse, pocketbook, bag",
            "tie": "necktie, bow tie, bowtie",
            "suitcase": "luggage, briefcase, baggage, suit case",
            "frisbee": "disc, frisbie",
            "skis": "ski",
            "snowboard": "snow board",
            "sports ball": "ball, baseball, basketball, football, soccer ball, tennis ball, volleyball, softball",
            "kite": "parasail",
            "baseball bat": "bat",
            "baseball glove": "mitt, glove, catcher's mitt, baseball mitt",
            "skateboard": "skate board, longboard",
            "surfboard": "surf board, body board, boogie board",
            "tennis racket": "racket, racquet, tennis racquet, tennis rackett",
            "bottle": "wine bottle, beer bottle",
            "wine glass": "wineglass, glass of wine, goblet, champagne glass, glass",
            "cup": "mug, coffee cup, teacup, tea cup, tumbler",
            "fork": "",
            "knife": "",
            "spoon": "ladle",
            "bowl": "",
            "banana": "plantain",
            "apple": "",
            "sandwich": "burger, hamburger, panini, hoagie, cheeseburger",
            "orange": "tangerine, mandarin, clementine",
            "broccoli": "brocolli, broccolli",
            "carrot": "baby carrot",
            "hot dog": "hotdog, frankfurter, chili dog, sausage",
            "pizza": "pizza pie",
            "donut": "doughnut, pastry",
            "cake": "cupcake, birthday cake, wedding cake, cheesecake",
            "chair": "armchair, arm chair, recliner, stool, rocking chair",
            "couch": "sofa, loveseat, love seat, settee",
            "potted plant": "plant, houseplant, house plant, pot plant, flower pot",
            "bed": "bunk, mattress",
            "dining table": "table, dinner table, desk, kitchen table, tabletop",
            "toilet": "commode, urinal",
            "tv": "television, tv set, tv screen, monitor, flat screen, flatscreen",
            "laptop": "laptop computer, notebook computer, computer, macbook",
            "mouse": "computer mouse",
            "remote": "remote control, controller, wii remote, wii controller, wiimote",
            "keyboard": "computer keyboard",
            "cell phone": "cellphone, phone, mobile phone, smartphone, smart phone, iphone, telephone, cellular phone",
            "microwave": "microwave oven",
            "oven": "stove, stovetop, stove top",
            "toaster": "toaster oven",
            "sink": "washbasin, basin, wash basin",
            "refrigerator": "fridge, freezer, refridgerator",
            "book": "novel, textbook, paperback",
            "clock": "clock face, alarm clock",
            "vase": "flower vase",
            "scissors": "scissor, shears",
            "teddy bear": "teddy, stuffed bear, stuffed animal, teddybear, toy bear",
            "hair drier": "hair dryer, hairdryer, blow dryer, hairdrier, blow drier",
            "toothbrush": "tooth brush",
        }.items()
    }
)
"""COCO's 80 categories to the words people use for them, in the singular."""

FALSE_FRIENDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        category: tuple(phrase.strip() for phrase in phrases.split(","))
        for category, phrases in {
            "person": "couple of, family of, crowd of, man made, record player, dvd player, cd player, media player, "
            "music player, cassette player, video player, screw driver, baby cow, baby sheep, baby bear, baby bird, "
            "baby goat, baby duck, baby horse, baby carriage, baby stroller, baby crib, baby food, baby grand, "
            "team of, family room, snow man, stick man, gingerbread man, man hole, lady bug",
            "airplane": "jet ski, jet engine, jet stream",
            "car": "car seat, car window, car door, cable car, street car, box car, trolley car",
            "bus": "bus stop, bus station, bus driver, bus shelter",
            "train": "train station, train track, train platform, train yard",
            "boat": "boat house, boat dock, gravy boat, banana boat",
            "cat": "cat food, cat fish, cat tail",
            "dog": "dog house, dog food, dog park, dog bed, corn dog, prairie dog",
            "bird": "bird house, bird cage, bird feeder, bird bath",
            "cow": "cow boy, cow girl, cow hide",
            "horse": "horse back, horse shoe, saw horse, sea horse",
            "handbag": "sleeping bag, garbage bag, trash bag, plastic bag, paper bag, grocery bag, shopping bag, "
            "tea bag, bean bag, bag of",
            "tie": "tie dye",
            "skis": "ski lift, ski slope, ski resort, ski lodge, ski jump, jet ski",
            "sports ball": "baseball player, baseball game, baseball field, baseball diamond, baseball cap, "
            "baseball uniform, baseball team, football player, football field, football game, football team, "
            "basketball player, basketball court, basketball game, basketball hoop, ball player, ball game, ball park, "
            "ball field, ball gown",
            "kite": "kite festival",
            "wine glass": "glass door, glass window, glass table, glass vase, glass bowl, glass case, glass jar, "
            "stained glass, sun glass, eye glass, magnifying glass, pair of glasses, wearing glasses, glass of water, "
            "glass of milk, glass of juice, glass of beer",
            "cake": "pan cake, rice cake, crab cake",
            "potted plant": "power plant, plant life",
            "cup": "cup holder",
            "banana": "banana bread, banana split, banana tree",
            "apple": "apple pie, apple juice, apple computer, apple laptop",
            "orange": "orange juice, orange cat, orange shirt, orange and white, orange and black, bright orange",
            "carrot": "carrot cake",
            "pizza": "pizza box, pizza oven, pizza cutter, pizza parlor",
            "bed": "bed room, bed spread, flower bed, truck bed, bed of",
            "toilet": "toilet paper, toilet seat, toilet brush",
            "dining table": "table cloth, table tennis, table lamp",
            "laptop": "computer desk, computer monitor, computer screen, computer chair",
            "mouse": "mouse pad",
            "cell phone": "phone booth",
            "clock": "clock tower",
            "keyboard": "keyboard player",
            "chair": "chair lift, wheel chair",
            "book": "book shelf, book case, book store",
            "baseball glove": "oven glove, boxing glove",
        }.items()
    }
)
"""Phrases in which a category's name stands for something else; names of other categories add to them."""

IRREGULAR_PLURALS: Mapping[str, str] = MappingProxyType(
    {
        "person": "people",
        "persons": "persons",
        "child": "children",
        "human": "humans",
        "knife": "knives",
        "calf": "calves",
        "mouse": "mice",
        "goose": "geese",
        "ox": "oxen",
        "skis": "skis",
        "scissors": "scissors",
        "shears": "shears",
        "sheep": "sheep",
        "cattle": "cattle",
        "luggage": "luggage",
        "baggage": "baggage",
        "broccoli": "broccoli",
        "aircraft": "aircraft",
        "someone": "someone",
    }
)


@functools.cache
def category_names(category: str) -> tuple[str, ...]:
    """List the words that count as naming a category: itself, its synonyms, and the plurals of all.

    Args:
        category: Category name, as in the data set; one that is not COCO's has itself and its plural only.

    Returns:
        The category first; no repeats.

    Example:
        >>> category_names("cow")[:4]
        ('cow', 'bull', 'cattle', 'calf')
        >>> category_names("red heart")
        ('red heart', 'red hearts')
    """
    singular = (category, *SYNONYMS.get(category.lower().replace("_", " "), ()))
    return tuple(dict.fromkeys((*singular, *map(plural, singular))))


def plural(name: str) -> str:
    """Give the plural of a name by the rules of English; of several words the last is changed.

    Example:
        >>> [plural(word) for word in ("bus", "fire hydrant", "policeman", "pony")]
        ['buses', 'fire hydrants', 'policemen', 'ponies']
    """
    start, blank, word = name.rpartition(" ")
    lower = word.lower()
    if lower in IRREGULAR_PLURALS:
        return f"{start}{blank}{IRREGULAR_PLURALS[lower]}"
    if lower.endswith("man"):
        return f"{start}{blank}{word[:-3]}men"
    if lower.endswith(("s", "x", "z", "ch", "sh")):
        return f"{start}{blank}{word}es"
    if lower.endswith("y") and lower[-2:-1] not in tuple("aeiou"):
        return f"{start}{blank}{word[:-1]}ies"
    return f"{start}{blank}{word}s"


def is_named(texts: Iterable[str], names: Sequence[str]) -> bool:
    """Tell whether any text names an object.

    Whole words only, upper and lower case alike, blank and hyphen alike. A name inside a longer name of
    something else does not count: "a hot dog" names no dog.

    Args:
        texts: Captions.
        names: Words that count, as from `category_names`.

    Example:
        >>> is_named(["Two women walk."], category_names("person")), is_named(["A hot-dog."], category_names("dog"))
        (True, False)
    """
    return any(named_places(text, names) for text in texts)


def named_places(text: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """Give the first and one-past-last character of every place where a text names an object, as `is_named` does.

    Args:
        text: A caption.
        names: Words that count, as from `category_names`.

    Example:
        >>> named_places("A dog eats a hot dog.", category_names("dog"))
        [(2, 5)]
    """
    pattern, own = _pattern(tuple(names))
    return [match.span() for match in pattern.finditer(text) if _words(match.group()) in own]


@functools.lru_cache(maxsize=4096)
def _pattern(names: tuple[str, ...]) -> tuple[re.Pattern[str], set[tuple[str, ...]]]:
    """Match the names, and before them longer phrases in which they mean something else; with the names' words."""
    own = {_words(name) for name in names} - {()}
    category = names[0].lower().replace("_", " ") if names else ""
    friends = {_words(form) for phrase in FALSE_FRIENDS.get(category, ()) for form in (phrase, plural(phrase))}
    longer = {phrase for phrase in _long_names() - own if any(_holds(phrase, words) for words in own)}
    ordered = sorted(own | longer | friends, key=lambda words: (-len(" ".join(words)), words))
    phrases = (r"[\s_-]+".join(map(re.escape, words)) for words in ordered)
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases) or '(?!)'})(?!\w)", re.IGNORECASE), own


@functools.cache
def _long_names() -> frozenset[tuple[str, ...]]:
    """All names of the table that have several words."""
    phrases = {_words(name) for category in SYNONYMS for name in category_names(category)}
    return frozenset(words for words in phrases if len(words) > 1)


def _words(name: str) -> tuple[str, ...]:
    """Split a name into lower-case words."""
    return tuple(re.split(r"[\s_-]+", name.lower().strip(" _-\t\n")) if name.strip(" _-\t\n") else ())


def _holds(phrase: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Tell whether the words stand in a row inside a longer phrase."""
    size = len(words)
    return len(phrase) > size and any(phrase[start : start + size] == words for start in range(len(phrase) - size + 1))
