import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import AT, Weighted
from art_snn.training.recipe import Recipe

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, kw_only=True)
class RAT(Weighted, AT):
    """Regularised adversarial training (Ding et al., NeurIPS 2022): near-orthogonal weights.

    The loss of adversarial training. After every step of the optimizer W <- (1 + b) W - b
    W W' W, with the weights of each convolution and linear layer as rows W [out, inputs].
    Singular values below sqrt(2 / b + 1) move towards 1: s becomes s (1 + b - b s^2).
    Frozen weights stay. The weight decay, which pulls towards 0, is 0: a recipe that asks
    for another is refused.

    :param orthogonality: b, the share of the way to orthogonal weights per step, in (0,
        1)."""

    orthogonality: float = field(
        default=4e-3, metadata={"below": 1, "within": (1e-12, 1)}
    )

    @property
    def limit(self) -> float:
        """Spectral norm above which a weight grows from step to step."""
        return math.sqrt(2 / self.orthogonality + 1)

    def fit_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe without weight decay; one that asks for some is refused."""
        if "weight_decay" in recipe.left_open:
            recipe = replace(recipe, weight_decay=0.0)
        require(
            recipe.weight_decay == 0,
            "weight_decay",
            "0 for RAT, which draws singular values to 1 and not to 0",
            recipe.weight_decay,
            "Give a weight_decay of 0.",
        )
        return recipe

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network without a weight to change, or with one that would grow."""
        require(
            _list_weights(network),
            "network",
            "a network with weights of linear layers or convolutions to train for RAT",
            "none",
            "Take another defence, or thaw them.",
        )
        self._grams(network)

    @torch.no_grad()
    def after_step(self, network: SpikingNetwork, share: float = 0.0) -> None:
        """Move the weights towards orthonormal rows, or columns where there are more rows."""
        for weight, gram in self._grams(network).items():
            rows = weight.flatten(1)
            product = gram @ rows if len(rows) == len(gram) else rows @ gram
            weight.add_((self.orthogonality * (rows - product)).view_as(weight))

    def _grams(self, network: SpikingNetwork) -> dict[nn.Parameter, Tensor]:
        """The smaller one of W W' and W' W by weight, since W W' W has both as factors."""
        names = _list_weights(network)
        grams = {}
        for weight in names:
            w = weight.detach().flatten(1)
            grams[weight] = w @ w.T if len(w) <= w.shape[1] else w.T @ w

        # The Frobenius norm bounds the spectral one and costs next to nothing.
        bounds = torch.stack([torch.linalg.matrix_norm(gram) for gram in grams.values()])
        if not (bounds >= self.limit**2).any():
            return grams
        for weight, gram in grams.items():
            norm = math.sqrt(float(torch.linalg.matrix_norm(gram, 2)))
            require(
                norm < self.limit,
                "orthogonality",
                f"a strength at which {names[weight]}, of spectral norm {norm:.3g}, does not grow",
                f"{self.orthogonality:g}, which bounds it by {self.limit:.3g}",
                "Lower it, lower the learning rate, or scale that weight down.",
            )
        return grams


def _list_weights(network: SpikingNetwork) -> dict[nn.Parameter, str]:
    """Weights of linear layers and convolutions in training, each once, with their names."""
    weights: dict[nn.Parameter, str] = {}
    for name, layer in network.named_modules():
        if not isinstance(layer, _LAYERS):
            continue
        weight = layer._parameters.get("weight")
        if weight is None:
            raise invalid(
                "network",
                "weights that are parameters for RAT",
                f"{name}.weight, which is computed from others",
                "Take the parametrization off, or another defence.",
            )
        if weight.requires_grad:
            weights.setdefault(weight, f"{name}.weight")
    return weights
