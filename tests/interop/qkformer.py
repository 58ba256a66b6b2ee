"""The official form of QKFormer, small: one layer of neurons takes [T * N, ...] for time steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.interop.stacks import CLASSES


class Patches(nn.Module):
    """Its first stage, as it is published: the shortcut is reshaped after its neurons.

    :param reshaped: True for the shortcut reshaped before them, as the other layers are."""

    def __init__(self, neuron: Callable[[], nn.Module], width: int, *, reshaped: bool) -> None:
        super().__init__()
        self.reshaped = reshaped
        self.proj_conv = nn.Conv2d(1, width // 2, 3, padding=1, bias=False)
        self.proj_bn = nn.BatchNorm2d(width // 2)
        self.proj_lif = neuron()
        self.proj1_conv = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.proj1_bn = nn.BatchNorm2d(width)
        self.proj1_lif = neuron()
        self.proj_res_conv = nn.Conv2d(width // 2, width, 1, bias=False)
        self.proj_res_bn = nn.BatchNorm2d(width)
        self.proj_res_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        steps, batch, _, height, width = x.shape
        shape = (steps, batch, -1, height, width)
        x = self.proj_bn(self.proj_conv(x.flatten(0, 1)))
        x = self.proj_lif(x.reshape(shape)).flatten(0, 1)

        shortcut = self.proj_res_bn(self.proj_res_conv(x))
        shortcut = shortcut.reshape(shape) if self.reshaped else shortcut
        shortcut = self.proj_res_lif(shortcut).reshape(shape)

        x = self.proj1_bn(self.proj1_conv(x))
        return self.proj1_lif(x.reshape(shape)) + shortcut


class TokenAttention(nn.Module):
    """Query and key of every token, the query summed over the channels of a head."""

    def __init__(self, neuron: Callable[[], nn.Module], width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.q_conv, self.k_conv = (nn.Conv1d(width, width, 1, bias=False) for _ in range(2))
        self.q_bn, self.k_bn = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.q_lif, self.k_lif, self.attn_lif = neuron(), neuron(), neuron()
        self.proj_conv, self.proj_bn = nn.Conv1d(width, width, 1), nn.BatchNorm1d(width)
        self.proj_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        steps, batch, channels, height, width = x.shape
        tokens = x.flatten(3)
        rows = tokens.flatten(0, 1)
        heads = (steps, batch, self.heads, channels // self.heads, height * width)
        q = self.q_lif(self.q_bn(self.q_conv(rows)).reshape(tokens.shape)).reshape(heads)
        k = self.k_lif(self.k_bn(self.k_conv(rows)).reshape(tokens.shape)).reshape(heads)
        attended = self.attn_lif(q.sum(3, keepdim=True)) * k
        projected = self.proj_bn(self.proj_conv(attended.flatten(2, 3).flatten(0, 1)))
        return self.proj_lif(projected.reshape(x.shape))


class QKFormer(nn.Module):
    """[N, C, H, W] -> [N, K]; it repeats its input T times itself."""

    def __init__(
        self, neuron: Callable[[], nn.Module], *, steps: int = 4, reshaped: bool = False
    ) -> None:
        super().__init__()
        self.steps = steps
        self.patches = Patches(neuron, 8, reshaped=reshaped)
        self.attention = TokenAttention(neuron, 8)
        self.head = nn.Linear(8, CLASSES)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0.4, 0.6, generator=generator)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1)
        x = self.patches(x)
        x = x + self.attention(x)
        return self.head(x.flatten(3).mean(3).mean(0))


def images(samples: int) -> Tensor:
    return torch.rand(samples, 1, 6, 6, generator=torch.Generator().manual_seed(2))
