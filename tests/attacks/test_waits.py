"""How often a step of an attack would wait for a card, or send something to it.

On a simulated CUDA device the same numbers were counted."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from art_snn.attacks import AutoPGD, SquareSearch, StableAdaptivePGD
from tests.classifiers import build

CARD = torch.device("cpu", 0)
"""The name of a card that is the CPU; the CPU itself has no index."""

_MOVES = (Tensor.to, Tensor.cpu, torch.as_tensor, torch.tensor)
_READS = (
    *(Tensor.item, Tensor.tolist, Tensor.numpy, Tensor.__array__),
    *(Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__),
    *(Tensor.nonzero, torch.nonzero, Tensor.equal, torch.equal),
)
_INDEXED = (Tensor.__getitem__, Tensor.__setitem__)


class Card(TorchFunctionMode):
    """Within the block some tensors are on a card: those given, and what is computed from them.

    `waits` counts the calls that would stop the program until the card has answered, and those that
    send something to it. Backends of torch are not asked, so kernels with a wait inside are not
    seen."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.storages = {StorageWeakRef(tensor.untyped_storage()) for tensor in tensors}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        here = any(map(self._holds, leaves))
        if func == Tensor.device.__get__:
            return CARD if here else func(*args, **kwargs)
        result = func(*args, **kwargs)

        devices = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
        if func is Tensor.cpu or "cpu" in [leaf for leaf in leaves if isinstance(leaf, str)]:
            devices = [torch.device("cpu")]
        there = here if not devices else devices[-1] == CARD

        masked = func in _INDEXED and any(
            self._holds(leaf) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1])
        )
        if (here and (func in _READS or masked)) or (func in _MOVES and here != there):
            self.waits[func.__name__] += 1

        if here and not there:
            # What is fetched has a memory of its own.
            return result.clone() if isinstance(result, Tensor) else result
        for leaf in tree_leaves(result):
            if there and isinstance(leaf, Tensor):
                self.storages.add(StorageWeakRef(leaf.untyped_storage()))
        return result

    def _holds(self, value: Any) -> bool:
        if not isinstance(value, Tensor):
            return False
        return StorageWeakRef(value.untyped_storage()) in self.storages


STEPS = 4
ROWS = [
    (AutoPGD, {}, 2),
    (StableAdaptivePGD, {}, 2),
    (SquareSearch, {}, 2),
    (ProjectedGradientDescent, {"eps_step": 1e-5}, 10),
]


def waits(attack, options, steps, layers, x, y):
    """Waits of an attack of so many steps, by what waits."""
    classifier = build(layers, gradient="rga")
    for part in (classifier, *classifier.preprocessing_operations):
        part._device = CARD
    tensors = [*classifier.model.parameters(), *classifier.model.buffers()]
    # So small that no sample is broken: the walk goes on with all of them.
    options = {"eps": 1e-4, "batch_size": len(x), "verbose": False, "max_iter": steps} | options
    with Card(tensors) as card:
        attack(classifier, **options).generate(x, y)
    return card.waits


@pytest.mark.parametrize(("attack", "options", "most"), ROWS)
def test_a_step_waits_no_more_often_than_it_must(attack, options, most, trained_layers, known):
    x, y = known[0][:6], known[1][:6]
    few, many = (waits(attack, options, n * STEPS, trained_layers, x, y) for n in (1, 2))
    assert (many - few).total() == most * STEPS, many - few
