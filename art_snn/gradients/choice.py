"""The gradient rule that an attack takes where nobody has named one."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from art_snn.gradients.base import Gradient
from art_snn.gradients.names import parse_rule
from art_snn.gradients.rules import GRADIENTS, STBP
from art_snn.running.context import keep_modes
from art_snn.seeding import fix_seed

ORDER = ("stbp", "native", *(name for name in GRADIENTS if name != "stbp"))
"""The candidates in order: STBP, the network's own gradient, and the others."""


def choose_rule(
    network: Any, x: Tensor | None = None, y: Tensor | None = None
) -> Gradient:
    """The rule that attacks on a network take where nobody has named one.

    Of the rules that apply it is the one whose gradient vanishes for the fewest samples,
    and of equals the first: STBP, the network's own gradient, the others in the order of
    GRADIENTS. Without samples no gradient is known to vanish.

    :param network: a :class:`~art_snn.SpikingNetwork`, which keeps its own rule.
    :param x: samples [N, ...] of classes y [N], on its device; None: the equations decide alone.
    :return: the rule; STBP where none applies."""
    counts = {}
    for rule in map(parse_rule, ORDER):
        if network.body.objection(rule) is not None:
            continue
        if x is None or y is None:
            return rule
        # A model may refuse a rule once it sees samples, or fail under it.
        with suppress(ValueError, RuntimeError):
            counts[rule] = int(find_vanished(network, rule, x, y)[0].sum())
        if counts.get(rule) == 0:
            break
    return min(counts, key=counts.__getitem__) if counts else STBP()


def find_vanished(
    network: Any, rule: Gradient, x: Tensor, y: Tensor
) -> tuple[Tensor, object]:
    """Samples whose gradient by a rule is 0 throughout, bool [N], and how the rule ran.

    The gradient is that of the cross entropy, in evaluation mode. The network is left as it was.

    :param x: samples [N, ...] of classes y [N].
    :raises ValueError: where the network refuses the rule."""
    twin = network.with_gradient(rule)
    leaf = x.clone().requires_grad_()
    with keep_modes(network, False), fix_seed(0), twin.constant_weights():
        loss = cross_entropy(twin(leaf), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
    return (gradient.flatten(1) == 0).all(1), twin.execution
