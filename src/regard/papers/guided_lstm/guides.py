"""Guides of gLSTM: what an image means, from sentences of images like it, or from a space that both share.

Guiding the Long-Short Term Memory Model for Image Caption Generation. Jia, Gavves, Fernando, Tuytelaars. ICCV 2015,
arXiv:1509.04942, Section 3.2.

    ret   tf-idf of the words of the sentences of the nearest training images           `Retrieval`
    emb   the image's place in the space of a canonical correlation analysis of
          image features and tf-idf of sentences                                         `Embedding`
    img   the image's feature itself                                                     `GuidedLSTM(guide=None)`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.cross_decomposition import CCA
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import check_input, positive

Sentences = Sequence[Sequence[Sequence[str]]]  # the tokenised captions of each image


class Retrieval:
    """The guide by retrieval: the mean tf-idf of the captions of the images with the nearest features (cosine).

    Args:
        features: of the training images.
        sentences: their captions.
        count: the number of images whose captions are averaged.
        most: the number of words at most, the commonest.

    Attributes:
        width: of the guide.

    Shapes: features `N C`.
    Raises: ValueError for another shape, or fewer images than `count` and one.
    """

    def __init__(self, features: Tensor, sentences: Sentences, *, count: int = 15, most: int = 1000) -> None:
        check_input(features, "N C", N=len(sentences))
        if positive("count", count) >= len(features):
            raise ValueError(f"count={count}: less than the {len(features)} training images is needed")
        self.count = count
        self.known = _unit(features)
        _, self.texts = _tfidf(sentences, most)
        self.width = self.texts.shape[1]

    def __call__(self, features: Tensor, *, training: bool = False) -> Tensor:
        """The guides of images: `B C` -> `B width`.

        Args:
            features: of the images.
            training: the images are training images; the nearest one, which is the image itself, is left out.
        """
        check_input(features, "B C", C=self.known.shape[1])
        near = (_unit(features) @ self.known.T).topk(self.count + training, 1).indices[:, int(training) :]
        guide: Tensor = self.texts[near].mean(1)
        return guide


class Embedding:
    """The guide by canonical correlation: the place of an image in a space in which its captions lie near.

    Args:
        features: of the training images.
        sentences: their captions.
        width: of the space.
        most: the number of words at most, the commonest.

    Shapes: features `N C`.
    Raises: ValueError for another shape, or a width that features, words or images do not give.
    """

    def __init__(self, features: Tensor, sentences: Sentences, *, width: int = 200, most: int = 1000) -> None:
        check_input(features, "N C", N=len(sentences))
        _, texts = _tfidf(sentences, most)
        largest = min(len(features), features.shape[1], texts.shape[1])
        if positive("width", width) > largest:
            raise ValueError(f"width={width}: at most {largest} is needed with these features, words and images")
        self.width, self.channels = width, features.shape[1]
        model = CCA(n_components=width, max_iter=1000).fit(features.double().numpy(), texts.double().numpy())
        self.model = model

    def __call__(self, features: Tensor, *, training: bool = False) -> Tensor:
        """The guides of images: `B C` -> `B width`; the same for training images."""
        check_input(features, "B C", C=self.channels)
        return torch.from_numpy(np.asarray(self.model.transform(features.double().numpy()))).to(features.dtype)


class Guided(Dataset[dict[str, Any]]):
    """A dataset of captions whose samples also have their image's `guide`.

    Args:
        data: the dataset.
        guides: of each of its samples, `N G`.

    Raises: ValueError if there is not one for each sample.
    """

    def __init__(self, data: Any, guides: Tensor) -> None:
        check_input(guides, "N G", N=len(data))
        self.data, self.guides = data, guides

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "data":
            raise AttributeError(name)
        return getattr(self.data, name)

    def __len__(self) -> int:
        return len(self.guides)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {**self.data[i], "guide": self.guides[i]}


def _unit(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features, dim=1)


def _tfidf(sentences: Sentences, most: int) -> tuple[TfidfVectorizer, Tensor]:
    """tf-idf of all captions of each image together, `N words`, in float32."""
    positive("most", most)
    joined = [[word for caption in captions for word in caption] for captions in sentences]
    vectoriser = TfidfVectorizer(analyzer=lambda tokens: tokens, max_features=most)
    return vectoriser, torch.from_numpy(vectoriser.fit_transform(joined).toarray()).float()
