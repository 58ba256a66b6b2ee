"""A healthy classifier that does not spike."""

import pytest
import torch
from torch import nn

from tests.conftest import seed_everything
from tests.findings import broken
from tests.networks import CLASSES


@pytest.fixture(scope="session")
def plain(data):
    seed_everything()
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, CLASSES))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    x, y = torch.as_tensor(data.x_train), torch.as_tensor(data.y_train)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    return broken.around(broken.Whole(module))
