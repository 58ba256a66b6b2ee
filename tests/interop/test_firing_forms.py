"""Every form of firing of research code is exact, or keeps its gradient, or is refused."""

import re
from dataclasses import replace

import pytest
import torch

from art_snn.interop import adapt
from tests.interop.firing_forms import EXACT, FEATURES, FORMS, KEPT, STEPS, UNSEEN, Loop

ROWS = [form for forms in FORMS.values() for form in forms]
pytestmark = [
    pytest.mark.filterwarnings("ignore:the rule knows no equations"),
    pytest.mark.filterwarnings("ignore:the model draws random numbers"),
]


def differentiate(run, x, *wanted):
    """Logits, and gradients of a sum of them in which none cancels another."""
    torch.manual_seed(5)
    logits = run(x)
    weights = torch.linspace(-1, 1.3, logits.shape[1], dtype=logits.dtype)
    return logits.detach(), torch.autograd.grad((logits * weights).sum(), wanted, allow_unused=True)


@pytest.mark.parametrize("form", ROWS, ids=str)
def test_a_form_of_firing_does_what_its_row_says(form):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(6, FEATURES, generator=generator).to(form.dtype).requires_grad_()
    model, reference = form.loops()
    if form.expected not in (EXACT, KEPT):
        with pytest.raises(ValueError, match=re.escape(form.expected)):
            differentiate(adapt(model, STEPS, gradient="stbp").eval(), x, x)
        return
    if form.expected == KEPT:
        alone, _ = replace(form, loop=Loop).loops()
        with pytest.raises(ValueError, match=UNSEEN):
            differentiate(adapt(alone, STEPS, gradient="stbp").eval(), x, x)

    logits, grads = differentiate(adapt(model, STEPS, gradient="stbp").eval(), x, x)
    network = adapt(model, STEPS, training_gradient="stbp").train()
    _, of_weights = differentiate(network, x.detach(), *model.parameters())
    repeated = x.expand(STEPS, -1, -1)
    _, expected = differentiate(
        lambda _: reference(repeated).mean(0), x, x, *reference.parameters()
    )
    torch.manual_seed(5)
    assert torch.equal(logits, model(repeated).mean(0))
    for grad, other in zip((*grads, *of_weights), expected, strict=True):
        if other is not None:
            assert other.any()
            assert (grad - other).abs().max() < form.largest_error * other.abs().max()


def test_no_form_has_two_rows():
    assert len(set(map(str, ROWS))) == len(ROWS) > 53
