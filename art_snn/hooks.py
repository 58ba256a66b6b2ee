"""Hooks and exchanged methods, which take part in a pass and are no layer of the network.

Is it computed by its encoder, its layers and the mean over time, and by nothing else?

Certificates, exact searches and counts of operations speak of these parts alone. A hook
or an exchanged method changes what a call of the network gives, and none of the parts
shows it. So all of them ask :func:`require_composed`. No list of such changes is
complete. So each of them also sends points through the network itself, and compares."""

from art_snn.checks import require
from art_snn.layers import global_hooks
from art_snn.network import SpikingNetwork
from art_snn.running.digests import find_exchanged_forward, hooks_of


def find_addition(network: SpikingNetwork) -> str | None:
    """What takes part in a pass next to encoder, layers and mean over time, in words, or None."""
    if global_hooks():
        return "a hook on all modules of torch"

    # The methods that lead a pass from the input to the logits.
    for part, names in (
        (network, ("__call__", "forward", "body")),
        (network.body, ("encode", "run", "outputs", "opened")),
    ):
        for name in names:
            method = getattr(type(part), name)
            method = getattr(method, "fget", method)  # Of a property.
            if name in vars(part) or not _comes_from(method, ("art_snn.", "torch.")):
                return f"a method {name} of its own"

    for name, module in network.named_modules():
        place = name or "the network"
        if hooks_of(module):
            return f"a hook on {place}"
        cls = type(module)
        of_torch = cls.__module__.startswith("torch.nn.modules.")
        is_patched = of_torch and not _comes_from(cls.forward, ("torch.",))
        if is_patched or find_exchanged_forward(module) is not None:
            return f"an exchanged forward on {place}"
    return None


def require_composed(network: SpikingNetwork, argument: str) -> None:
    """Refuse, by a ValueError, a network that computes more than its parts show."""
    addition = find_addition(network)
    require(
        addition is None,
        argument,
        "a network that is its encoder, its layers and the mean over time",
        f"one with {addition}",
        "Remove it, or put what it computes into the layers.",
    )


def _comes_from(function: object, packages: tuple[str, ...]) -> bool:
    return str(getattr(function, "__module__", "")).startswith(packages)
