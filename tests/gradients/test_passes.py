"""How often rules take the network forward and backward, as they declare it and as it runs."""

import pytest
import torch

from art_snn import GRADIENTS, RGA, STBP
from art_snn.gradients import EOT, PDSG, Extended, Mean
from tests.architectures import batch, chain, network

OTHER = STBP(detach_reset=True)


@pytest.mark.parametrize(
    ("rule", "passes", "plain"),
    [
        (STBP(), 1, 0),
        (PDSG(), 1, 0),
        (EOT(RGA(), samples=3), 3, 0),
        (Mean(RGA(), STBP()), 2, 0),
        (EOT(Mean(RGA(), STBP()), samples=3), 6, 0),
        (Mean(EOT(RGA(), samples=4), STBP(), RGA()), 6, 0),
        (Extended(RGA(), steps=16), 1, 1),
        (EOT(Extended(STBP(), steps=16), samples=5), 5, 5),
        (Mean(Extended(Extended(STBP(), steps=9), steps=16), RGA()), 2, 2),
    ],
    ids=repr,
)
def test_passes_of_rules_around_rules_add_up(rule, passes, plain):
    assert (rule.passes, rule.plain_passes) == (passes, plain)


def test_a_rule_that_is_made_of_no_others_takes_one_pass():
    rules = [rule() for rule in GRADIENTS.values()]
    assert {(rule.passes, rule.plain_passes) for rule in rules} == {(1, 0)}


@pytest.mark.parametrize(
    "rule",
    [
        *(STBP(), Mean(STBP(), OTHER), EOT(Mean(STBP(), OTHER), samples=3)),
        EOT(Extended(STBP(), steps=9), samples=2),
    ],
    ids=repr,
)
def test_layers_run_as_often_as_declared(rule):
    net = network(chain, gradient=rule)
    runs = []
    first = next(module for module in net.layers.modules() if not list(module.children()))
    handle = first.register_forward_hook(lambda *_: runs.append(1))
    x = batch().requires_grad_()
    torch.autograd.grad(net(x).sum(), x)
    handle.remove()
    assert len(runs) == rule.passes + rule.plain_passes
