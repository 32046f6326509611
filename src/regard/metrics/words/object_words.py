"""Which words of a sentence name an object of which category.

`COCO` lists English words for the 80 categories of COCO. Words of two meanings are taken for the object: "orange" is
the fruit also where it is a colour, and "bat", "glass" or "board" alone, mostly something else, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from regard.metrics.words.tokens import tokenise

COCO: Mapping[str, tuple[str, ...]] = {
    "person": (
        *("person", "man", "woman", "boy", "girl", "child", "kid", "baby", "toddler", "guy", "lady", "gentleman"),
        *(
            "player",
            "skier",
            "surfer",
            "skateboarder",
            "snowboarder",
            "rider",
            "batter",
            "pitcher",
            "catcher",
            "umpire",
        ),
        *("chef", "cook", "waiter", "waitress", "officer", "policeman", "soldier", "worker", "student", "teacher"),
        *("driver", "biker", "cyclist", "motorcyclist", "pedestrian", "passenger", "couple", "crowd", "spectator"),
        *("friend", "mother", "father", "son", "daughter", "sister", "brother", "bride", "groom", "adult", "teenager"),
    ),
    "bicycle": ("bicycle", "bike"),
    "car": ("car", "automobile", "suv", "sedan", "taxi", "taxi cab", "minivan", "hatchback"),
    "motorcycle": ("motorcycle", "motorbike", "motor bike", "scooter", "moped", "motor scooter"),
    "airplane": ("airplane", "plane", "aeroplane", "aircraft", "jet", "jetliner", "airliner", "biplane"),
    "bus": ("bus", "minibus", "trolley bus", "coach bus"),
    "train": ("train", "locomotive", "tram", "streetcar", "subway train"),
    "truck": ("truck", "pickup", "lorry", "fire engine", "semi truck", "fire truck"),
    "boat": ("boat", "ship", "canoe", "kayak", "sailboat", "ferry", "yacht", "raft", "gondola", "rowboat"),
    "traffic light": ("traffic light", "traffic signal", "stop light", "stoplight", "street light"),
    "fire hydrant": ("fire hydrant", "hydrant"),
    "stop sign": ("stop sign",),
    "parking meter": ("parking meter", "meter"),
    "bench": ("bench", "pew"),
    "bird": (
        *("bird", "duck", "goose", "seagull", "gull", "pigeon", "parrot", "owl", "eagle", "hawk", "swan", "pelican"),
        *("ostrich", "chicken", "rooster", "penguin", "flamingo", "crane", "sparrow", "duckling", "crow", "peacock"),
    ),
    "cat": ("cat", "kitten", "kitty"),
    "dog": ("dog", "puppy", "pup", "hound", "poodle", "terrier", "bulldog", "sheepdog", "retriever", "beagle"),
    "horse": ("horse", "pony", "foal", "colt", "mare", "stallion"),
    "sheep": ("sheep", "lamb", "ram", "ewe"),
    "cow": ("cow", "cattle", "bull", "calf", "ox", "steer", "bison", "heifer"),
    "elephant": ("elephant",),
    "bear": ("bear", "polar bear", "grizzly", "panda", "bear cub"),
    "zebra": ("zebra",),
    "giraffe": ("giraffe",),
    "backpack": ("backpack", "knapsack", "rucksack", "back pack"),
    "umbrella": ("umbrella", "parasol"),
    "handbag": ("handbag", "purse", "hand bag", "wallet"),
    "tie": ("tie", "bow tie", "necktie", "bowtie"),
    "suitcase": ("suitcase", "suit case", "luggage", "briefcase"),
    "frisbee": ("frisbee", "flying disc"),
    "skis": ("ski",),
    "snowboard": ("snowboard", "snow board"),
    "sports ball": (
        *("ball", "baseball", "football", "basketball", "volleyball", "soccer ball", "tennis ball", "sports ball"),
        "soccer",
    ),
    "kite": ("kite", "para sail", "parasail"),
    "baseball bat": ("baseball bat",),
    "baseball glove": ("baseball glove", "catcher 's mitt", "baseball mitt", "mitt"),
    "skateboard": ("skateboard", "skate board"),
    "surfboard": ("surfboard", "surf board", "longboard", "boogie board", "wakeboard"),
    "tennis racket": ("tennis racket", "tennis racquet", "racket", "racquet"),
    "bottle": ("bottle", "wine bottle", "beer bottle"),
    "wine glass": ("wine glass", "glass of wine"),
    "cup": ("cup", "mug", "coffee cup", "tea cup", "teacup"),
    "fork": ("fork",),
    "knife": ("knife", "pocketknife"),
    "spoon": ("spoon", "teaspoon"),
    "bowl": ("bowl",),
    "banana": ("banana",),
    "apple": ("apple",),
    "sandwich": ("sandwich", "burger", "hamburger", "cheeseburger", "panini"),
    "orange": ("orange", "tangerine", "clementine"),
    "broccoli": ("broccoli",),
    "carrot": ("carrot",),
    "hot dog": ("hot dog", "hotdog"),
    "pizza": ("pizza",),
    "donut": ("donut", "doughnut"),
    "cake": ("cake", "cupcake", "cheesecake"),
    "chair": ("chair", "stool", "armchair", "recliner", "arm chair"),
    "couch": ("couch", "sofa", "loveseat", "futon", "love seat"),
    "potted plant": ("potted plant", "plant", "houseplant", "flower pot", "house plant"),
    "bed": ("bed", "bunk bed"),
    "dining table": ("dining table", "table", "kitchen table", "dinner table", "desk", "coffee table"),
    "toilet": ("toilet", "urinal", "commode", "toilet seat", "toilet bowl"),
    "tv": ("tv", "television", "television set", "tv set", "flat screen"),
    "laptop": ("laptop", "laptop computer", "notebook computer"),
    "mouse": ("mouse", "computer mouse"),
    "remote": ("remote", "remote control", "wii remote", "wiimote", "game controller"),
    "keyboard": ("keyboard", "computer keyboard"),
    "cell phone": ("cell phone", "cellphone", "mobile phone", "phone", "smartphone", "smart phone"),
    "microwave": ("microwave", "microwave oven"),
    "oven": ("oven", "stove", "stove top", "stovetop"),
    "toaster": ("toaster",),
    "sink": ("sink", "washbasin"),
    "refrigerator": ("refrigerator", "fridge", "freezer"),
    "book": ("book", "textbook", "cookbook"),
    "clock": ("clock", "alarm clock", "clock tower"),
    "vase": ("vase",),
    "scissors": ("scissors", "shears"),
    "teddy bear": ("teddy bear", "teddy", "stuffed bear"),
    "hair drier": ("hair drier", "hair dryer", "hairdryer", "blow dryer"),
    "toothbrush": ("toothbrush", "tooth brush"),
}

# Phrases in which a word above names another object, or none.
COCO_OTHERWISE: Mapping[str, str | None] = {
    **{
        f"{young} {animal}": animal
        for young in ("baby", "adult", "mother")
        for animal in ("elephant", "giraffe", "zebra", "bear", "cow", "horse", "sheep", "bird", "cat", "dog")
    },
    **{f"passenger {one}": one for one in ("train", "bus", "car", "boat")},
    **{f"passenger {one}": "airplane" for one in ("plane", "jet", "airplane")},
    **{f"train {one}": None for one in ("track", "station", "yard", "platform")},
    "train car": "train",
    "bus stop": None,
    "bus station": None,
    "car seat": None,
    "dog house": None,
    "bird house": None,
    "bird cage": None,
    "soccer player": "person",
    "baseball player": "person",
    "tennis player": "person",
    "football player": "person",
    "basketball player": "person",
    "baseball game": None,
    "soccer game": None,
    "baseball field": None,
    "soccer field": None,
    "football field": None,
    "baseball uniform": None,
    "pizza oven": "oven",
    "ski lift": None,
    "ski slope": None,
    "ski pole": None,
    "cake pan": None,
}

IRREGULAR = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "person": "people",
    "foot": "feet",
    "tooth": "teeth",
    "mouse": "mice",
    "goose": "geese",
    "ox": "oxen",
    "calf": "calves",
    "knife": "knives",
    "shelf": "shelves",
    "leaf": "leaves",
    "loaf": "loaves",
    "half": "halves",
    "wife": "wives",
    "life": "lives",
    "policeman": "policemen",
    "gentleman": "gentlemen",
    "fisherman": "fishermen",
    "fireman": "firemen",
    **{word: word for word in ("sheep", "cattle", "bison", "aircraft", "luggage", "scissors", "shears", "broccoli")},
}


def plural(word: str) -> str:
    """The plural of an English noun; of several words, that of the last one."""
    first, space, last = word.rpartition(" ")
    return first + space + _plural(last)


def _plural(word: str) -> str:
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


class ObjectWords:
    """Finds the objects that a sentence names; of two phrases at one place the longer counts.

        words = ObjectWords(COCO, COCO_OTHERWISE)
        words.named(["two", "dogs", "on", "a", "dining", "table"])  # ["dog", "dining table"]

    Args:
        words: category -> words or phrases in the singular; the plurals are added.
        otherwise: phrase in the singular -> the category it names, or None if it names no object.

    Raises: ValueError if there are no words, one stands in two categories, or `otherwise` names an unknown category.
    """

    def __init__(self, words: Mapping[str, Sequence[str]], otherwise: Mapping[str, str | None] | None = None) -> None:
        self.categories = tuple(words)
        self._phrases: dict[tuple[str, ...], str | None] = {}
        for category, singular in words.items():
            for word in singular:
                if self._phrases.get(tuple(word.split()), category) != category:
                    raise ValueError(f"words: {word!r} stands in two categories; one is needed")
                self._add(word, category)
        if not self._phrases:
            raise ValueError("words: none is given; at least one category with a word is needed")
        for phrase, named in (otherwise or {}).items():
            if named is not None and named not in words:
                raise ValueError(f"otherwise[{phrase!r}]={named!r}: a category of words, or None, is needed")
            self._add(phrase, named)
        self._longest = max(map(len, self._phrases))

    def _add(self, phrase: str, category: str | None) -> None:
        for form in (phrase, plural(phrase)):
            self._phrases[tuple(form.split())] = category

    def found(self, sentence: Sequence[str]) -> list[tuple[int, int, str]]:
        """The first place, the place after the last, and the category of each named object, in order.

        Raises: ValueError if `sentence` is a text.
        """
        if isinstance(sentence, str):
            raise ValueError(f"{sentence[:50]!r}: a list of words is needed, not a text")
        found, at = [], 0
        while at < len(sentence):
            for end in range(min(at + self._longest, len(sentence)), at, -1):
                phrase = tuple(sentence[at:end])
                if phrase in self._phrases:
                    category = self._phrases[phrase]
                    found += [(at, end, category)] if category is not None else []
                    at = end
                    break
            else:
                at += 1
        return found

    def named(self, sentence: Sequence[str]) -> list[str]:
        """The category of each named object, in order."""
        return [category for _, _, category in self.found(sentence)]

    def named_in(self, texts: Iterable[str]) -> set[str]:
        """The categories that are named in texts, which are tokenised here."""
        return {category for text in texts for category in self.named(tokenise(text))}
