"""Guides of gLSTM: what an image means, from sentences of images like it, or from a space that both share.

Guiding the Long-Short Term Memory Model for Image Caption Generation. Jia, Gavves, Fernando, Tuytelaars. ICCV 2015,
arXiv:1509.04942, Section 3.2.

    ret   tf-idf of the words of the sentences of the nearest training images           `Retrieval`
    emb   the image's place in the space of a canonical correlation analysis of
          image features and tf-idf of sentences                                         `CommonSpace`
    img   the image's feature itself                                                     `GuidedLSTM(guide=None)`

Both guides are made from the features and the captions of the training images by `fit`, and kept with the weights;
until then they are random.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sklearn.cross_decomposition import CCA
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn

from regard.checks import check_input, positive

Sentences = Sequence[Sequence[Sequence[str]]]  # the tokenised captions of each image
MOST = 1000  # words of the captions that count, the commonest
ITERATIONS = 1000  # of each component of the analysis, at most


class Retrieval(nn.Module):
    """The guide by retrieval: the mean tf-idf of the captions of the images with the nearest features (cosine).

    In training the nearest image is left out, since it is the image itself.

    Args:
        channels: of the features.
        width: of the guide: the number of words, as `texts` gives it.
        known: N, the number of training images.
        count: the number of images whose captions are averaged.

    Shapes: features `B C` -> `B width`.
    Raises: ValueError for an argument out of range.
    """

    known: Tensor
    texts: Tensor

    def __init__(self, channels: int, *, width: int, known: int, count: int = 15) -> None:
        super().__init__()
        if positive("count", count) >= positive("known", known):
            raise ValueError(f"count={count}: less than the {known} training images is needed")
        self.count = count
        self.register_buffer("known", _unit(torch.randn(known, positive("channels", channels))))
        self.register_buffer("texts", torch.rand(known, positive("width", width)))

    def fit(self, features: Tensor, sentences: Sentences) -> None:
        """Takes the training images' features `N C`, and their captions."""
        check_input(features, "N C", N=len(self.known), C=self.known.shape[1])
        self.known.copy_(_unit(features))
        self.texts.copy_(texts(sentences))

    def forward(self, features: Tensor) -> Tensor:
        own = int(self.training)
        near = (_unit(features) @ self.known.to(features.dtype).T).topk(self.count + own, 1).indices[:, own:]
        guide: Tensor = self.texts.to(features.dtype)[near].mean(1)
        return guide


class CommonSpace(nn.Module):
    """The guide by canonical correlation: the place of an image in a space in which its captions lie near.

    Args:
        channels: of the features.
        width: of the space.

    Shapes: features `B C` -> `B width`.
    Raises: ValueError for an argument out of range.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, *, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(positive("width", width), positive("channels", channels)))
        self.register_buffer("bias", torch.zeros(width))

    def fit(self, features: Tensor, sentences: Sentences) -> None:
        """Finds the space of the training images' features `N C` and their captions.

        Raises: ValueError if features, words or images do not give as many dimensions.
        """
        width, channels = self.weight.shape
        check_input(features, "N C", N=len(sentences), C=channels)
        words = texts(sentences)
        largest = min(len(features), channels, words.shape[1])
        if width > largest:
            raise ValueError(f"width={width}: at most {largest} is needed with these features, words and images")
        model = CCA(n_components=width, max_iter=ITERATIONS)
        model.fit(features.double().cpu().numpy(), words.double().numpy())
        ends = torch.cat([torch.zeros(1, channels), torch.eye(channels)]).double().numpy()
        origin, *axes = torch.from_numpy(model.transform(ends))  # an affine function, by what it makes of the axes
        self.weight.copy_((torch.stack(axes) - origin).T)
        self.bias.copy_(origin)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.linear(features, self.weight.to(features.dtype), self.bias.to(features.dtype))


def texts(sentences: Sentences) -> Tensor:
    """tf-idf of all captions of each image together, `N words`, in float32."""
    joined = [[word for caption in captions for word in caption] for captions in sentences]
    vectoriser = TfidfVectorizer(analyzer=lambda tokens: tokens, max_features=MOST)
    return torch.from_numpy(vectoriser.fit_transform(joined).toarray()).float()


def _unit(features: Tensor) -> Tensor:
    return nn.functional.normalize(features, dim=1)
