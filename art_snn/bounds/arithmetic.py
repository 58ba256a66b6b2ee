"""What arithmetic does to boxes: sums of two, products with numbers, means."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from art_snn.bounds.box import Box, Nonlinear, Reach, Spread, Unbounded, fits_means
from art_snn.bounds.rounding import widening


def plus(func: Any, a: Any, b: Any, *, alpha: float = 1, out: None = None) -> Box:
    """a + alpha b, also of a box and a number."""
    return _added(a, b, alpha)


def minus(func: Any, a: Any, b: Any, *, alpha: float = 1, out: None = None) -> Box:
    """a - alpha b."""
    return _added(a, b, -alpha)


def reversed_minus(func: Any, a: Any, b: Any) -> Box:
    """b - a, of a box a and a number or tensor b."""
    return _added(_scaled(a, -1.0), b, 1)


def _added(a: Any, b: Any, alpha: float) -> Box:
    boxes = [part for part in (a, b) if isinstance(part, Box)]
    box, *others = boxes
    centre = torch.add(*(_plain(part, box) for part in (a, b)), alpha=alpha)
    if not others:
        if not fits_means(b if box is a else a, box):
            raise Nonlinear("a sum with what changes over time")
        factor = abs(alpha) if box is b else 1
        reach = box.spread.reach if factor == 1 and box is a else None
        reach = reach if centre.shape == box.shape else None
        size = _size(b if box is a else a)
        radius = (box.spread.radius * factor).expand_as(centre)
        most = box.most * factor + size * (abs(alpha) if box is a else 1)
        slack = box.spread.slack.amax() * factor + most * widening(1, box)
        return Box.around(centre, _numbered(box, radius, slack, most, reach))
    other = others[0]
    if box.spread.averaged != other.spread.averaged:
        raise Unbounded("a sum of means and steps")
    factor = abs(alpha)
    radius = box.spread.radius + factor * other.spread.radius
    most = box.most + factor * other.most
    slack = box.spread.slack + factor * other.spread.slack + most * widening(1, box)
    if any(part.spread.slack.shape == part.shape for part in boxes):
        slack = slack.expand_as(centre)
    averaged = box.spread.averaged
    return Box.around(centre, Spread(radius, slack, most if averaged else None, averaged))


def _numbered(x: Box, radius: Tensor, slack: Tensor, most: Tensor, reach: Reach | None) -> Spread:
    """The spread after arithmetic with numbers. Intervals of steps give a smaller `most`."""
    bound = most if x.spread.averaged else None
    changed = replace(x.spread, radius=radius, slack=slack, most=bound, reach=reach)
    return replace(changed, unmixed=False, away=None)


def _plain(value: Any, like: Box) -> Any:
    if isinstance(value, Box):
        return value.centre
    return value if isinstance(value, Tensor) else like.new_tensor(value)


def _size(value: Any) -> Any:
    return value.detach().abs().amax() if isinstance(value, Tensor) else abs(value)


def product(func: Any, a: Any, b: Any, *, out: None = None) -> Box:
    """A box times numbers."""
    if isinstance(a, Box) and isinstance(b, Box):
        raise Unbounded("a product of two values that depend on the input")
    return _scaled(a, b) if isinstance(a, Box) else _scaled(b, a)


def quotient(func: Any, a: Any, b: Any, *, rounding_mode: None = None, out: None = None) -> Box:
    """A box divided by numbers."""
    if not isinstance(a, Box) or isinstance(b, Box) or rounding_mode is not None:
        raise Unbounded("a division by a value that depends on the input, or with rounding")
    return _scaled(a, 1 / b, a.centre / b)


def negative(func: Any, x: Box) -> Box:
    """-x."""
    return _scaled(x, -1.0)


def _scaled(x: Box, factor: Any, centre: Tensor | None = None) -> Box:
    if not fits_means(factor, x):
        raise Nonlinear("a product with what changes over time")
    centre = x.centre * factor if centre is None else centre
    size, spread = abs(factor), x.spread
    radius = (spread.radius * size).expand_as(centre)
    most = x.most * _size(factor)
    slack = _size(factor) * spread.slack.amax() + most * widening(2, x)
    positive = bool((factor > 0).all()) if isinstance(factor, Tensor) else factor > 0
    kept = spread.reach is not None and positive and centre.shape == x.shape
    reach = spread.reach.scaled(factor) if spread.reach is not None and kept else None
    return Box.around(centre, _numbered(x, radius, slack, most, reach))


def mean(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """The mean over some axes. Of means over the steps up to each one the last is that over all."""
    return _reduced(func, x, 1, *args, **options)


def total(func: Any, x: Box, *args: Any, **options: Any) -> Box:
    """The sum over some axes."""
    return _reduced(func, x, len(x), *args, **options)


def _reduced(func: Any, x: Box, factor: int, *args: Any, **options: Any) -> Box:
    spread = x.spread
    if spread.averaged:
        if args != (0,) or options.get("keepdim") or len(x) != spread.averaged:
            raise Nonlinear(f"{func.__name__} over other axes than time")
        last = x.mapped(lambda part: part[-1])
        # The network adds the steps up.
        slack = last.spread.slack + x.most * widening(len(x), x)
        last = Box.around(last.centre, replace(last.spread, slack=slack, averaged=0))
        return last if factor == 1 else _scaled(last, float(factor))
    centre = func(x.centre, *args, **options)
    radius = func(spread.radius, *args, **options)
    terms = max(1, x.numel() // max(1, centre.numel()))
    over_time = args == (0,) and not options.get("keepdim")
    each = spread.slack if over_time else spread.slack.amax()
    if over_time and each.shape == x.shape:
        each = each.mean(0)
    slack = each + x.most * widening(terms, x)
    if func in (torch.sum, Tensor.sum):
        slack = slack * terms
    return Box.around(centre, Spread(radius, slack))
