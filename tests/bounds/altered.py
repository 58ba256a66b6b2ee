"""Certify random networks that something alters, and try to break what is certified.

A hook, a subclass, an exchanged method or a container changes what a call of each network
computes. Every method must refuse the network, or certify what no corner of the budget and no
AutoPGD breaks. A network that nothing alters must not be refused."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

from art_snn import SQE, Ablation, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.attacks import AutoPGD
from art_snn.bounds import bound_operations, certify_bounds, decide_bounds
from art_snn.classifier import wrap
from art_snn.metrics import certify, synaptic_operations
from tests.bounds.planted import chain
from tests.bounds.random_networks import CLASSES, LIMITS, around

CORNERS = 200
SAMPLES = 4


def _brighten(x: Tensor) -> Tensor:
    return 1.5 * x - 0.2


def _hook_everywhere(network: SpikingNetwork, module: nn.Module, stack: ExitStack) -> None:
    def hook(called, args):
        return (_brighten(args[0]), *args[1:]) if called is module else None

    stack.enter_context(torch_module.register_module_forward_pre_hook(hook))


def _exchange(owner: object, name: str) -> None:
    """Let a method of one object read other values."""
    plain = getattr(owner, name)
    setattr(owner, name, lambda x, *rest: plain(_brighten(x), *rest))


def _derive(network: SpikingNetwork, module: nn.Module, stack: ExitStack) -> None:
    kind = type(module)
    forward = lambda self, x: kind.forward(self, _brighten(x))  # noqa: E731
    module.__class__ = type("Own", (kind,), {"forward": forward})


def _exchange_class(network: SpikingNetwork, module: nn.Module, stack: ExitStack) -> None:
    kind = type(module)
    plain = kind.forward
    stack.callback(setattr, kind, "forward", plain)
    kind.forward = lambda self, x: plain(self, _brighten(x))


def _parametrize(network: SpikingNetwork, module: nn.Module, stack: ExitStack) -> None:
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    parametrize.register_parametrization(layers[-1], "weight", nn.Hardtanh(-0.3, 0.3))


def _skip(network: SpikingNetwork, module: nn.Module, stack: ExitStack) -> None:
    """Every logit also has some pixels of the input, which go past the encoder."""
    kept: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    last = list(network.layers)[-1]
    last.register_forward_hook(lambda _, args, z: z + kept[-1].flatten(1)[:, : z.shape[-1]])


ALTERATIONS: dict[str, Callable[[SpikingNetwork, nn.Module, ExitStack], object]] = {
    "pre-hook": lambda network, module, stack: module.register_forward_pre_hook(
        lambda _, args: (_brighten(args[0]), *args[1:])
    ),
    "hook": lambda network, module, stack: module.register_forward_hook(
        lambda _, args, output: _brighten(output)
    ),
    "hook on all modules": _hook_everywhere,
    "forward": lambda network, module, stack: _exchange(module, "forward"),
    "subclass": _derive,
    "forward of a class": _exchange_class,
    "parametrization": _parametrize,
    "encode": lambda network, module, stack: _exchange(network.body, "encode"),
    "run": lambda network, module, stack: _exchange(network.body, "run"),
    "outputs": lambda network, module, stack: _exchange(network.body, "outputs"),
    "skip": _skip,
    "none": lambda *_: None,
}
"""What changes the outcome of a call, at a module or on the network."""
_ON_THE_NETWORK = ("parametrization", "encode", "run", "outputs", "skip", "none")


def list_places(network: SpikingNetwork, name: str) -> list[nn.Module]:
    """Modules at which an alteration of that name may stand."""
    if name in _ON_THE_NETWORK:
        return [network]
    inside = [m for layer in network.layers if isinstance(layer, Timed) for m in layer.modules()]
    containers = [m for m in network.modules() if type(m) is nn.Sequential]
    if name == "forward of a class":
        return containers
    return [network, *network.layers, *inside, *containers]


@contextmanager
def altered(network: SpikingNetwork, name: str, draw: random.Random) -> Iterator[str]:
    """The network altered within the block; gives the name and the place."""
    layers = list(network.layers)
    if draw.random() < 0.5:  # A container between others.
        layers[:2] = [nn.Sequential(*layers[:2])]
        network.layers = nn.Sequential(*layers)
    place = draw.choice(list_places(network, name))
    with ExitStack() as stack:
        ALTERATIONS[name](network, place, stack)
        yield f"{name} at {type(place).__name__}"


def attempt(seed: int, name: str | None = None) -> dict[str, str]:
    """How the network of a seed fared, by method; the alteration stands under 'altered'."""
    draw = random.Random(seed)
    name = name or draw.choice(list(ALTERATIONS))
    network, x, eps = chain(seed, draw.choice([2, 3, 4]))
    eps /= 4
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(SAMPLES, *x.shape[1:], generator=generator, dtype=x.dtype)
    with altered(network, name, draw) as words:
        fates = {"altered": words}
        fates |= _try_bounds(network, x, eps, generator)
    network, x = _drawing(seed, draw, x)
    with altered(network, name, draw):
        fates["draws"] = _try_draws(network, x, generator)
    return fates


def _try_bounds(
    network: SpikingNetwork, x: Tensor, eps: float, generator: torch.Generator
) -> dict[str, str]:
    classifier = around(network, tuple(x.shape[1:]))
    samples = x.numpy()
    y = classifier.predict(samples).argmax(1)
    sides = torch.randint(0, 2, (CORNERS, 1, *x.shape[1:]), generator=generator) * 2 - 1
    corners = (x + eps * sides).clamp(*LIMITS).numpy()
    wrong = np.stack([classifier.predict(part).argmax(1) != y for part in corners]).any(0)
    with network.using("stbp"):
        attack = AutoPGD(classifier, eps=eps, max_iter=20, verbose=False)
        wrong |= classifier.predict(attack.generate(samples, y)).argmax(1) != y

    def bounded() -> np.ndarray:
        most = bound_operations(classifier, samples, eps)
        counts = [synaptic_operations(classifier, part) for part in corners[:20]]
        return (np.stack(counts) > most).any(0)

    methods: dict[str, Callable[[], np.ndarray]] = {
        "operations": bounded,
        "exact": lambda: decide_bounds(classifier, samples, y, eps, nodes=2).safe & wrong,
    }
    for method in ("counts", "s-ibp", "trains", None):
        certify_by = partial(certify_bounds, classifier, samples, y, eps, method=method)
        methods[method or "default"] = lambda certify_by=certify_by: certify_by().certified & wrong
    return {key: _judge(method) for key, method in methods.items()}


def _drawing(seed: int, draw: random.Random, x: Tensor) -> tuple[SpikingNetwork, Tensor]:
    """The chain of a seed with an encoder that draws, and samples as that encoder takes them."""
    network, _, _ = chain(seed, 2)
    network.encoder = draw.choice([Poisson(2), SQE(2), Ablation(2, keep=0.3)])
    if isinstance(network.encoder, Ablation):
        x = (torch.stack([x, 1 - x], 1) > 0.5).to(x.dtype)
    return network.to(x.dtype), x


def _try_draws(network: SpikingNetwork, x: Tensor, generator: torch.Generator) -> str:
    """Votes at changed samples are those that are certified."""
    classifier = wrap(network, tuple(x.shape[1:]), CLASSES, LIMITS, "cpu")
    y = np.zeros(len(x), dtype=np.int64)

    def broken() -> np.ndarray:
        certificate = certify(classifier, x.numpy(), y, selection=20, draws=200, batch_size=200)
        sizes = certificate.region.size
        wrong = np.zeros(len(x), dtype=bool)
        for row in np.flatnonzero((certificate.predicted >= 0) & (sizes > 0)):
            for moved in _change(x[row], float(sizes[row]), network.encoder, generator):
                votes = classifier.predict(np.repeat(moved.numpy()[None], 300, 0), batch_size=300)
                share = (votes.argmax(1) == certificate.predicted[row]).mean()
                wrong[row] |= share < 0.4  # Far below a half: no accident of 300 draws.
        return wrong

    return _judge(broken)


def _change(
    sample: Tensor, size: float, encoder: object, generator: torch.Generator
) -> Iterator[Tensor]:
    """Ten changes of a sample that its certificate allows."""
    for _ in range(10):
        flat = sample.flatten().clone()
        if isinstance(encoder, Ablation):
            rows = torch.randperm(len(flat), generator=generator)[: int(size)]
            flat[rows] = 1 - flat[rows]
        else:
            row = torch.randint(len(flat), (1,), generator=generator)
            flat[row] += 0.99 * size if flat[row] < 0.5 else -0.99 * size
        yield flat.view_as(sample).clamp(*LIMITS)


def _judge(method: Callable[[], np.ndarray]) -> str:
    try:
        wrong = method()
    except ValueError as error:
        return f"refused: {error}"
    return "broken" if wrong.any() else "held"


def is_wrong(fates: dict[str, str], method: str) -> bool:
    """True where a certificate is broken, or a network is refused that nothing alters."""
    plain = fates["altered"].startswith("none")
    return fates[method] == "broken" or (plain and fates[method].startswith("refused"))
