"""Images with the triplets of their sentences: drawn scenes, and photographs with captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.data.batches import Batch, Sample, padded
from regard.data.captioned import Captioned
from regard.data.phrases import Lexicon
from regard.data.scene_sentences import COLOURS, KINDS
from regard.data.scenes import Scenes
from regard.ops.seeds import mixed
from regard.papers.every_picture.task import meanings
from regard.papers.every_picture.task.meanings import Taxonomy
from regard.papers.every_picture.task.sentences import ATTRIBUTE, VERB, Labels, Reader, labels_of

Sentence = Sequence[str]


class Pictures(Dataset[Sample]):
    """Images of which at least one sentence is read as a triplet.

    A sample has `image`, `triplets` R 3, those of its sentences that are read, `present` O, whether an object is there,
    `references`, all its sentences, and `name`.

    Args:
        data: gives `image` and `name`; one sample an image.
        sentences: of each image, as tokens.
        reader: reads the sentences.
        present: the objects that are in an image, by its number; None takes those that its sentences name.

    Raises: ValueError if no sentence is read.
    """

    def __init__(
        self,
        data: Any,
        sentences: Sequence[Sequence[Sentence]],
        reader: Reader,
        present: Callable[[int], set[int]] | None = None,
    ) -> None:
        self.data, self.reader = data, reader
        self.kept: list[int] = []
        self.triplets: list[Tensor] = []
        self.sentences: list[list[list[str]]] = []
        self.present: list[Tensor] = []
        for number, several in enumerate(sentences):
            found = [triplet for triplet in map(reader.read, several) if triplet is not None]
            if not found:
                continue
            named = set().union(*map(reader.mentioned, several)) if present is None else present(number)
            there = torch.zeros(len(reader.labels.objects), dtype=torch.bool)
            there[list(named)] = True
            self.kept.append(number)
            self.triplets.append(torch.tensor(found))
            self.sentences.append([list(one) for one in several])
            self.present.append(there)
        if not self.kept:
            raise ValueError(f"sentences: none of those of {len(sentences)} images is read as a triplet")

    @property
    def digest(self) -> str:
        """A digest of the images, the labels and the triplets."""
        read = mixed(self.reader.labels, [triplets.tolist() for triplets in self.triplets])
        return f"triplets {read % 16**8:08x} of {self.data.digest}"

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, i: int) -> Sample:
        sample = self.data[self.kept[i]]
        return {
            "image": sample["image"],
            "triplets": self.triplets[i],
            "present": self.present[i],
            "references": self.sentences[i],
            "name": sample["name"],
        }

    @staticmethod
    def collate_fn(several: Sequence[Sample]) -> Batch:
        return padded(several, fields={"triplets": 0}, listed=("references",))

    def images(self, size: int = 64) -> list[Tensor]:
        """All images in batches, in their order."""
        starts = range(0, len(self), size)
        return [torch.stack([self[i]["image"] for i in range(start, min(start + size, len(self)))]) for start in starts]

    def pool(self) -> dict[tuple[int, int, int], str]:
        """A sentence for each triplet that is read: the commonest, of several as common the shortest."""
        counts: dict[tuple[int, int, int], Counter[str]] = {}
        for several in self.sentences:
            for tokens in several:
                triplet = self.reader.read(tokens)
                if triplet is not None:
                    counts.setdefault(triplet, Counter())[" ".join(tokens)] += 1
        return {
            triplet: min(texts.items(), key=lambda one: (-one[1], len(one[0]), one[0]))[0]
            for triplet, texts in sorted(counts.items())
        }


def of_scenes(train: Scenes, test: Scenes) -> tuple[Pictures, Pictures]:
    """Drawn scenes: the kind of what a sentence is about, its colour, and the kind of what it lies by."""
    texts = [[train.captions(i) for i in range(train.count)], [test.captions(i) for i in range(test.count)]]
    counts = Counter(token for several in texts[0] for tokens in several for token in tokens)
    tree = meanings.drawn(counts)
    lexicon = Lexicon.of(tokens for several in texts[0] for tokens in several)
    reader = Reader(Labels(KINDS, tuple(COLOURS), KINDS), (tree, tree, tree), lexicon, ATTRIBUTE)

    def there(scenes: Scenes) -> Callable[[int], set[int]]:
        return lambda i: {KINDS.index(one.kind) for one in scenes.objects(i)}

    found = [
        Pictures(scenes.images(), several, reader, there(scenes))
        for scenes, several in zip((train, test), texts, strict=True)
    ]
    return found[0], found[1]


def of_photographs(train: Captioned, test: Captioned, **most: int) -> tuple[Pictures, Pictures]:
    """Photographs with captions; the labels are those of the training captions, by WordNet's trees if it is installed.

    Args:
        train, test: the photographs.
        most: the numbers of labels, as for `sentences.labels_of`.

    Raises: ValueError as `labels_of` and `Pictures`.
    """
    texts = [[photo.captions for photo in one.photos] for one in (train, test)]
    spoken = [tokens for several in texts[0] for tokens in several]
    lexicon = Lexicon.of(spoken)
    reader = Reader(labels := labels_of(spoken, lexicon, **most), _trees(spoken, labels, lexicon), lexicon, VERB)
    found = [
        Pictures(Captioned(one.photos, one.words, size=one.size, longest=one.longest, each=False), several, reader)
        for one, several in zip((train, test), texts, strict=True)
    ]
    return found[0], found[1]


def _trees(spoken: Sequence[Sentence], labels: Labels, lexicon: Lexicon) -> tuple[Taxonomy, Taxonomy, Taxonomy]:
    """The tree of each node: WordNet's above all words of the corpus, or else one of the labels alone."""
    counts = Counter(token for tokens in spoken for token in tokens)
    nouns = Counter(phrase.head for tokens in spoken for phrase in lexicon.read(tokens))
    verbs = Counter(verb for tokens in spoken for verb in lexicon.acts(tokens))
    wordnet = meanings.installed_wordnet()
    if wordnet is None:
        trees = [meanings.flat(several, counts) for several in labels]
        return trees[0], trees[1], trees[2]
    things = meanings.of_wordnet(nouns, "noun", counts=nouns, wordnet=wordnet)
    return things, meanings.of_wordnet(verbs, "verb", counts=verbs, wordnet=wordnet), things
