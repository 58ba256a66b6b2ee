import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require, require_number, set_fields
from art_snn.network import SpikingNetwork
from art_snn.training.defences.at import AT
from art_snn.training.recipe import Recipe

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, kw_only=True)
class RAT(AT):
    """Regularised adversarial training (Ding et al., NeurIPS 2022): near-orthogonal weights.

    The loss of adversarial training; after every step of the optimizer W <- (1 + b) W - b W W' W
    with the weights of every convolution and linear layer as rows W [out, inputs]. It draws all
    singular values to 1, each s to s (1 + b - b s^2), as long as they lie below sqrt(2 / b + 1).
    Frozen weights are left as they are. The weight decay, which draws them to 0, is 0: a recipe
    that leaves it open gets that, and one that asks for another is refused.

    :param orthogonality: b, in (0, 1).
    :raises ValueError: for another one."""

    orthogonality: float = 4e-3

    def __post_init__(self) -> None:
        remedy = "The paper takes 4e-3; adversarial training alone is AT."
        told = self.orthogonality
        b = require_number(
            "orthogonality", told, above=0, below=1, within=(1e-12, 1.0), remedy=remedy
        )
        set_fields(self, orthogonality=b)

    @property
    def limit(self) -> float:
        """Spectral norm of a weight from which on it grows from step to step."""
        return math.sqrt(2 / self.orthogonality + 1)

    def fitted(self, recipe: Recipe) -> Recipe:
        """The recipe without weight decay.

        :raises ValueError: when it asks for some."""
        if "weight_decay" in recipe.left_open:
            recipe = replace(recipe, weight_decay=0.0)
        expected = "0 for RAT, which draws singular values to 1 and not to 0"
        remedy = "Give a weight_decay of 0."
        require(recipe.weight_decay == 0, "weight_decay", expected, recipe.weight_decay, remedy)
        return recipe

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network without a weight to change, or with one that would grow.

        :raises ValueError: naming the weight."""
        weights = _weights(network)
        expected = "a network with weights of linear layers or convolutions to train for RAT"
        remedy = "Take another defence, or thaw them."
        require(weights, "network", expected, "none", remedy)
        self._refuse_growth({name: _gram(_rows(weight)) for name, weight in weights.items()})

    @torch.no_grad()
    def after_step(self, network: SpikingNetwork) -> None:
        """Draw the weights towards orthonormal rows, or columns where there are more rows.

        :raises ValueError: when one would grow from step to step."""
        weights = _weights(network)
        grams = {name: _gram(_rows(weight)) for name, weight in weights.items()}
        self._refuse_growth(grams)
        for name, weight in weights.items():
            rows, gram = _rows(weight), grams[name]
            product = gram @ rows if len(rows) == len(gram) else rows @ gram
            step = self.orthogonality * (rows - product)
            weight.add_(step.view_as(weight))

    def _refuse_growth(self, grams: dict[str, Tensor]) -> None:
        # The Frobenius norm bounds the spectral one and costs next to nothing.
        bounds = torch.stack([torch.linalg.matrix_norm(gram) for gram in grams.values()])
        if not bool((bounds >= self.limit**2).any()):
            return
        for name, gram in grams.items():
            norm = math.sqrt(float(torch.linalg.matrix_norm(gram, 2)))
            expected = f"a strength at which {name}, of spectral norm {norm:.3g}, does not grow"
            got = f"{self.orthogonality:g}, which bounds it by {self.limit:.3g}"
            remedy = "Lower it, lower the learning rate, or scale that weight down."
            require(norm < self.limit, "orthogonality", expected, got, remedy)

    def words(self) -> str:
        """Name and strength."""
        return f"RAT, orthogonality {self.orthogonality:g}"


def _weights(network: SpikingNetwork) -> dict[str, nn.Parameter]:
    """Weights of linear layers and convolutions that are trained, each once, by their names.

    :raises ValueError: for one that is computed from others, which no assignment changes."""
    found: dict[str, nn.Parameter] = {}
    for name, layer in network.named_modules():
        if not isinstance(layer, LAYERS):
            continue
        weight = layer._parameters.get("weight")
        if weight is None:
            got = f"{name}.weight, which is computed from others"
            remedy = "Take the parametrization off, or another defence."
            raise invalid("network", "weights that are parameters for RAT", got, remedy)
        if weight.requires_grad and all(weight is not other for other in found.values()):
            found[f"{name}.weight"] = weight
    return found


def _rows(weight: Tensor) -> Tensor:
    return weight.detach().flatten(1)


def _gram(rows: Tensor) -> Tensor:
    """The smaller one of W W' and W' W; W W' W has both as factors."""
    return rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
