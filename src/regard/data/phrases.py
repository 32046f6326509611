"""Nouns with their modifiers, verbs and prepositions in the captions of a corpus, without a parser.

Captions are plain sentences. A phrase of a noun begins after a determiner, a preposition or a verb, and ends where the
next word is none of its own: its last word is the head, those before are its modifiers. Prepositions, determiners and
auxiliaries are closed classes, listed here. Verbs are found in the corpus: a form in -ing that follows an auxiliary,
and the forms of the same verb (runs, run) that seldom follow a determiner. What is read is less than a parser reads:
adverbs are known by their ending or a short list, and what stands after a conjunction is a phrase of its own.

    grammar = Lexicon.of(sentences)
    grammar.read("two brown dogs run in the deep snow".split())
    # [Phrase("dog", ("brown",), None, None), Phrase("snow", ("deep",), "in", "run")]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PREPOSITIONS = frozenset(
    [
        *("about", "above", "across", "after", "against", "along", "alongside", "amid", "among", "around", "at"),
        *("atop", "before", "behind", "below", "beneath", "beside", "between", "beyond", "by", "down", "during", "for"),
        *("from", "in", "inside", "into", "near", "of", "off", "on", "onto", "over", "past", "through", "to", "toward"),
        *("towards", "under", "underneath", "up", "upon", "with", "within", "without", "in front of", "in back of"),
        *("next to", "on top of", "out of", "on the side of", "in the middle of", "left of", "right of"),
        *("to the left of", "to the right of", "close to", "inside of", "outside of"),
    ]
)
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DETERMINERS = frozenset(
    [
        *("a", "an", "the", "this", "that", "these", "those", "some", "any", "each", "every", "both", "all", "another"),
        *("several", "many", "few", "his", "her", "its", "their", "my", "your", "our", "no", "other", *NUMBERS),
    ]
)
AUXILIARIES = frozenset(("is", "are", "was", "were", "be", "been", "being", "am", "'s", "'re", "has", "have", "had"))
OTHERS = frozenset(  # conjunctions, pronouns and adverbs
    [
        *("and", "or", "but", "while", "as", "when", "where", "who", "whom", "which", "what", "so", "than", "because"),
        *("he", "she", "it", "they", "him", "them", "i", "we", "you", "us", "himself", "herself", "themselves"),
        *("not", "very", "just", "together", "outside", "outdoors", "indoors", "away", "out", "back", "there", "here"),
        *("also", "too", "still", "almost", "apart", "ahead", "forward", "if", "'", "another"),
    ]
)
PLURALS = {"men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot", "mice": "mouse"}
AS_VERB = 0.05  # share of the occurrences of a form in -ing that have to follow an auxiliary
AS_NOUN = 0.1  # share of those of a verb's other form that follow a determiner at most
MORE = 3  # times as often as its form in -ing another form may stand there: pants are no verb
LONGEST = max(len(phrase.split()) for phrase in PREPOSITIONS)


@dataclass(frozen=True)
class Phrase:
    """A noun in a sentence.

    Args:
        head: the noun, singular where the corpus has the singular too.
        modifiers: the words before it that belong to it, without determiners.
        preposition: that leads to it, or None.
        verb: the last verb before it since the noun before, or None.
    """

    head: str
    modifiers: tuple[str, ...] = ()
    preposition: str | None = None
    verb: str | None = None


@dataclass(frozen=True)
class Lexicon:
    """Statistics of the words of a corpus.

    Args:
        verbs: form -> its form in -ing.
        singular: plural -> singular.
    """

    verbs: dict[str, str] = field(default_factory=dict)
    singular: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]]) -> Lexicon:
        """The verbs and plurals of tokenised sentences."""
        counts: Counter[str] = Counter()
        aided: Counter[str] = Counter()
        named: Counter[str] = Counter()
        for tokens in sentences:
            before = ""
            for token in tokens:
                counts[token] += 1
                aided[token] += before in AUXILIARIES
                named[token] += before in DETERMINERS
                before = token
        doing = {
            word: word for word, count in counts.items()
            if len(word) > 4 and word.endswith("ing") and aided[word] > 0 and aided[word] >= AS_VERB * count
        }  # fmt: skip
        verbs = dict(doing)
        for form in doing:
            for other in _forms(form):
                often = counts[other]
                if other not in CLOSED and named[other] <= AS_NOUN * often and 0 < often <= MORE * counts[form]:
                    verbs.setdefault(other, form)
        singular = {word: one for word in counts for one in _singulars(word) if counts[one] and one not in CLOSED}
        return cls(verbs, {word: one for word, one in singular.items() if word not in verbs and word not in CLOSED})

    def read(self, tokens: Sequence[str]) -> list[Phrase]:
        """The nouns of a sentence in their order."""
        found: list[Phrase] = []
        words: list[str] = []
        preposition: str | None = None
        verb: str | None = None
        determined = False

        def close() -> None:
            nonlocal preposition, verb
            if words:
                found.append(Phrase(self.singular.get(words[-1], words[-1]), tuple(words[:-1]), preposition, verb))
                words.clear()
                preposition, verb = None, None

        at = 0
        while at < len(tokens):
            token, phrase = tokens[at], preposition_at(tokens, at)
            if phrase:
                close()
                preposition, determined = " ".join(phrase), False
                at += len(phrase)
                continue
            at += 1
            ends = at == len(tokens) or tokens[at] in CLOSED
            if token in NUMBERS and (words or (determined and ends)):  # a red seven, a seven: what is drawn or written
                words.append(token)
            elif token in DETERMINERS:
                close()
                determined = True
            elif token in CLOSED or token.endswith("ly"):
                close()
                determined = False
            elif token.endswith("ed") and preposition_at(tokens, at):  # dressed in, surrounded by
                close()
                verb, preposition, determined = token, None, False
            elif token in self.verbs and (words or not determined):
                close()
                verb, preposition, determined = self.verbs[token], None, False
            else:
                words.append(token)
        close()
        return found

    def acts(self, tokens: Sequence[str]) -> list[str]:
        """The verbs of a sentence in their order, in -ing; a verb behind a determiner is a noun there."""
        behind = zip(("", *tokens), tokens, strict=False)
        return [self.verbs[token] for before, token in behind if token in self.verbs and before not in DETERMINERS]


def preposition_at(tokens: Sequence[str], at: int) -> Sequence[str]:
    """The longest preposition that begins at a place; empty if there is none."""
    for count in range(min(LONGEST, len(tokens) - at), 0, -1):
        if " ".join(tokens[at : at + count]) in PREPOSITIONS:
            return tokens[at : at + count]
    return ()


def _forms(doing: str) -> tuple[str, ...]:
    """What the other forms of a verb may be: runs and run of running, rides and ride of riding."""
    stem = doing.removesuffix("ing")
    stems = [stem, f"{stem}e"]
    if len(stem) > 2 and stem[-1] == stem[-2]:
        stems.append(stem[:-1])
    ended = [f"{one}{end}" for one in stems for end in ("s", "es")]
    return (*stems, *ended, *([f"{stem[:-1]}ies"] if stem.endswith("y") else []))


def _singulars(word: str) -> tuple[str, ...]:
    """What the singular of a word may be."""
    if word in PLURALS:
        return (PLURALS[word],)
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return ()
    return (*([f"{word[:-3]}y"] if word.endswith("ies") else []), word[:-2] if word.endswith("es") else "", word[:-1])


CLOSED = PREPOSITIONS | DETERMINERS | AUXILIARIES | OTHERS
