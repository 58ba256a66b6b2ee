"""How far few flips take values from those without any, behind the first layer.

A flip changes one place. Behind a convolution it changes a window of places, in all channels, and
the rest is as without it. So an output of the next layer changes by no more than the windows with
the largest changes add up to, as for adversarial patches (Chiang et al., ICLR 2020)."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil, prod
from typing import Any

import torch
from torch import Size, Tensor
from torch.nn import functional

from art_snn.bounds.box import Box, Change, Spread, nothing
from art_snn.bounds.departures import Departure, Window
from art_snn.bounds.flips import FlipReach
from art_snn.bounds.patches import patches
from art_snn.bounds.rounding import widening
from art_snn.bounds.sums import most_of, window_sums
from art_snn.gradients.fixed import weights_held
from art_snn.pooling import pair

Layer = tuple[Any, Tensor, tuple[Any, ...]]
"""A function of torch, its weight, and what follows its bias."""
Start = tuple[Tensor, list[Change] | None]
"""Of the first layer its outputs without flips, and their changes by one flip, by two, and so on to
all but one; None where a value is of all steps."""

ELEMENTS = 2**18
"""Values that outputs see, of as many samples as are computed at a time, which should fit into
the cache."""


def departure(
    x: Box, y: Box, start: Start, of: Layer, function: Callable[[Box], Box]
) -> Departure | None:
    """How outputs y of an affine layer differ from those without flips; None where all may.

    :param function: the layer."""
    away = x.spread.away
    # Where weights are constants nothing differentiates it.
    with torch.set_grad_enabled(torch.is_grad_enabled() and not weights_held()):
        if isinstance(away, Departure) and away.window is not None:
            return _of_windows(x, y, away, function(away.clean), of)
        return _of_flips(x, y, start, of)


def _of_flips(x: Box, y: Box, start: Start, of: Layer) -> Departure | None:
    """That behind the first layer."""
    reach, (centre, changes), (func, weight, rest) = x.spread.reach, start, of
    if not isinstance(reach, FlipReach):
        return None
    clean = Box.around(centre, replace(y.spread, radius=nothing(centre, centre.shape)))
    fewer = None if x.spread.repeats or changes is None else tuple(changes)
    rows, window = x.shape[: -3 if weight.ndim == 4 else -1].numel(), None
    if func is functional.conv2d and x.ndim == 4:
        stride, _, dilation, _ = _sizes(rest)
        flip, sizes = Window(tuple(x.shape[1:]), (1, 1)), (pair(stride), pair(dilation))
        window = flip.behind(weight.shape[2:], *sizes, y.shape)
    return Departure(clean, reach.count, window, fewer=fewer, rows=rows)


def _of_windows(x: Box, y: Box, away: Departure, clean: Box, of: Layer) -> Departure | None:
    """That behind a later layer.

    :param away: that of x, in windows.
    :param clean: the outputs without flips."""
    window, (func, weight, rest) = away.window, of
    assert window is not None
    shape, after, dilation = tuple(x.shape[1:]), None, (1, 1)
    stride, padding, dilated, _ = _sizes(rest)
    if func is functional.conv2d and shape == window.shape and not isinstance(padding, str):
        kernel, dilation = weight.shape[2:], pair(dilated)
        after = window.behind(kernel, pair(stride), dilation, y.shape)
    elif func is functional.linear and shape == (window.size,):
        kernel = torch.Size(window.shape[1:])
    else:
        return None
    # Of a dilated kernel a window meets every other place, or fewer.
    axes = zip(window.sides, dilation, kernel, strict=True)
    sides = torch.Size(min((side - 1) // d + 1, whole) for side, d, whole in axes)
    windows = prod(whole - side + 1 for whole, side in zip(kernel, sides, strict=True))
    if windows <= away.count:
        # Together they are the whole kernel, or more.
        return Departure(clean, away.count, after) if after else None
    fall, rise = _changes(x, away, kernel, sides, of)
    change = fall.view(y.shape) + y.spread.slack, rise.view(y.shape) + y.spread.slack
    return Departure(clean, away.count, after, change)


def _sizes(rest: tuple[Any, ...]) -> tuple[Any, Any, Any, int]:
    """Stride, padding, dilation and groups of a convolution."""
    sizes = [*rest, *(1, 0, 1, 1)[len(rest) :]]
    return sizes[0], sizes[1], sizes[2], sizes[3]


def _changes(x: Box, away: Departure, kernel: Size, sides: Size, of: Layer) -> Change:
    """How far outputs can fall and rise, in the order of their values.

    Of inputs between m - r and m + r from the clean ones an output is between W m - |W| r and
    W m + |W| r from its own. A linear layer of planes is a convolution whose kernel is the plane.

    :param kernel: its rows and columns.
    :param sides: rows and columns of it that a flip can change."""
    func, weight, rest = of
    groups, places = _sizes(rest)[3] if weight.ndim == 4 else 1, prod(kernel)
    # [groups, places of the kernel, outputs, channels]
    rows = weight.view(groups, len(weight) // groups, -1, places).permute(0, 3, 1, 2)
    rows, more = rows.contiguous(), 1 + widening(weight[0].numel() + ceil(away.count), x)
    sizes = rows.abs() * more
    seen = patches(func, x.centre[:1], weight, *rest).shape[2]
    size = max(1, ELEMENTS // (2 * len(weight) * seen * places))
    parts = []
    for start in range(0, len(x), size):
        several = _moves(x, away.clean, slice(start, start + size))
        m, r = (patches(func, part, weight, *rest).flatten(1) for part in several)
        m, r = (part.view(groups, -1, places, part.shape[1]).transpose(1, 2) for part in (m, r))
        shifts, spans = (window_sums(a @ b, kernel, sides) for a, b in ((rows, m), (sizes, r)))
        change = torch.stack(
            [most_of(ends, away.count) for ends in (spans - shifts, spans + shifts)]
        )
        # The ends [2], groups, outputs, samples and places.
        change = torch.unflatten(change, 3, (-1, seen)).permute(0, 3, 1, 2, 4)
        parts.append(change.flatten(2))
    fall, rise = torch.cat(parts, 1)
    return fall, rise


def _moves(x: Box, clean: Box, rows: slice) -> tuple[Tensor, Tensor]:
    """The middle of what flips do to the clean values of some samples, and how far around it."""
    (low, high), (lowest, highest) = (_part(box, rows).ends for box in (x, clean))
    down, up = (lowest - low).clamp(min=0), (high - highest).clamp(min=0)
    return (up - down) / 2, (up + down) / 2


def _part(box: Box, rows: slice) -> Box:
    """Some samples of a box [N, ...]."""
    radius, slack = box.spread.radius[rows], box.spread.slack
    slack = slack[rows] if slack.shape == box.shape else slack
    return Box.around(box.centre[rows], Spread(radius, slack))
