"""How the network of a recipe starts: from published weights of its trunk, from a checkpoint of it, or at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from torch import Tensor, nn

from regard import published
from regard.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The first weights of a training.

    Args:
        recipe: the recipe.
        weights: the file that the state was read from.
        state: the weights of the trunk; None for the published or random ones.
        random: whether the trunk starts at random.
        fact: the start as text, for result.json and the checkpoints; None for the recipe's own.
    """

    recipe: Recipe
    weights: Path | None = None
    state: Mapping[str, Tensor] | None = None
    random: bool = False
    fact: str | None = None

    def give(self, model: nn.Module) -> None:
        """Loads the first weights into the trunk of the recipe's network.

        Raises: ValueError if the weights of a checkpoint do not fit; OSError if the published ones cannot be loaded.
        """
        if self.recipe.start is None or self.random:
            return
        try:
            self.recipe.start(model, self.state)
        except ValueError as error:
            raise ValueError(f"weights={str(self.weights)!r}: {error}") from error
        except OSError as error:
            raise OSError(
                f"{error}; --weights FILE starts from a checkpoint of the trunk, and --random from random weights"
            ) from error


def beginning(recipe: Recipe, *, weights: Path | None = None, random: bool = False) -> Beginning:
    """Reads the first weights of a training.

    Args:
        recipe: the recipe.
        weights: a checkpoint file of the trunk; None for the published weights.
        random: start at random where the recipe has published weights.

    Raises: ValueError if both are given, if the recipe has no trunk to start, or if the file holds no weights;
        FileNotFoundError if there is no such file.
    """
    if weights is None:
        return Beginning(recipe=recipe, random=random, fact="random weights" if random and recipe.start else None)
    if random:
        raise ValueError(f"weights={str(weights)!r} and random=True: one of the two is accepted")
    if recipe.start is None:
        tiny = "the tiny variant of this recipe" if recipe.tiny else "this recipe"
        raise ValueError(f"weights={str(weights)!r}: {tiny} has no trunk that starts from weights; leave them out")
    state = published.load(weights)
    content = blake2b(weights.read_bytes(), digest_size=6).hexdigest()
    return Beginning(recipe=recipe, weights=weights, state=state, fact=f"{weights.name} ({content})")
