"""A classifier that is not linear and that no attack breaks, so that runs go to their ends."""

import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from tests.attacks.classifiers import stock
from tests.conftest import varied


def smooth(seed: int = 0) -> tuple[PyTorchClassifier, nn.Module, Tensor]:
    """The classifier, its module, and three samples [3, 4], all of class 0."""
    generator = torch.Generator().manual_seed(varied(seed))
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
        # One class is far ahead everywhere.
        module[2].bias[0] += 100
    x = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    return stock(module, (4,), 3), module, x
