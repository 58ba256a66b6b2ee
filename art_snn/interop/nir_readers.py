"""How the readers of NIR files fill in what a file leaves open.

A file (Pedersen et al., Nature Communications, 2024) has equations, and no time step, no
kind of reset and no start. Each reader fills these in by itself, so one file is several
networks."""

import math
from typing import Any, Literal, get_args

import numpy as np
import torch

from art_snn.checks import ArgumentError, require, require_number
from art_snn.dynamics import Dynamics, Setting, setting
from art_snn.interop.nir_files import Node, Nodes

Reader = Literal["nir", "norse", "sinabs", "spikingjelly", "snntorch"]
READERS = get_args(Reader)


class Reading:
    """The neurons of a file as one reader reads them.

    :param like: the reader; None stands for NIR's text, with a reset that is given.
    :param dt: the time step, in the unit of the time constants.
    :param given: settings of Dynamics instead of the reader's own; None leaves the
        reader's."""

    def __init__(self, like: str | None, dt: float | None, **given: Any) -> None:
        require(
            like in (None, *READERS),
            "like",
            f"one of {READERS} or None",
            repr(like),
            "None is NIR's text, with the reset given.",
        )
        if dt is not None:
            require_number(
                "dt", dt, above=0, remedy="snnTorch and SpikingJelly have 1e-4."
            )

        self.like = like
        self.dt = dt
        self.given: dict[str, Any] = {}
        unlimited = {"max_spikes": math.inf, "floor": -math.inf}
        for name, value in given.items():
            if value is not None:
                self.given[name] = None if value == unlimited.get(name) else value

    def read_neurons(self, what: str, node: Node) -> Dynamics:
        """The dynamics of an IF, LIF or Threshold node.

        :param what: the kind and the name of the node, for errors."""
        usual = {"reset": None if self.like is None else "hard"}
        settings = usual | self._read(what, node, self.like or "nir") | self.given

        remedy = 'NIR cannot say which: pass like="norse" or reset=.'
        if self.like == "snntorch":
            remedy = (
                'snnTorch subtracts twice above twice the threshold: pass reset="soft".'
            )
        require(settings["reset"] is not None, "reset", '"hard" or "soft"', None, remedy)
        if settings["reset"] == "soft":
            settings["v_reset"] = 0.0
        try:
            return Dynamics(
                **{name: _as_setting(value) for name, value in settings.items()}
            )
        except ArgumentError as error:
            raise ArgumentError("graph", f"{what}, {error}") from error

    def read_integrator(self, what: str, node: Node) -> list[Setting]:
        """Decay, gain and constant of an I or LI node, which sinabs alone reads in its own way."""
        like = "sinabs" if node["type"] == "LI" and self.like == "sinabs" else "nir"
        settings = {"gain": 1.0, "constant": 0.0, **self._read(what, node, like)}
        return [_as_setting(settings[name]) for name in ("decay", "gain", "constant")]

    def describe(self, nodes: Nodes) -> str:
        """The neurons of all nodes in words, equal ones once; or why the reader refuses them."""
        words = list[str]()
        try:
            for name, node, _ in nodes:
                if node["type"] in ("IF", "LIF"):
                    words.append(f"{self.read_neurons(name, node)}")
        except ArgumentError as error:
            return f"nothing: {error}"
        return "; ".join(dict.fromkeys(words))

    def _read(self, what: str, node: Node, like: str) -> dict[str, Any]:
        """The settings of Dynamics that a node has for a reader; ValueError if it reads none."""
        if "threshold" in node:
            return {"decay": 0.0, "threshold": node["threshold"], "strict": True}

        leaky = "tau" in node
        tau = node.get("tau", np.ones(1))
        require(
            self.dt or not (leaky or like in ("nir", "spikingjelly")),
            "dt",
            "the time step of the graph",
            self.dt,
            "Files hold none: snnTorch and SpikingJelly write 1e-4, Norse 1e-3.",
        )
        # dt / tau of a neuron that leaks, dt of another one.
        share = (self.dt or 1.0) / tau
        require(
            not leaky or 0 < share.min() <= share.max() <= 1,
            "dt",
            f"at most the smallest time constant {tau.min():g}",
            f"{self.dt}",
            f"It is that of {what}.",
        )
        needs, read = _fill_in(like, node, share)
        for expected, holds in needs.items():
            require(
                holds,
                "graph",
                f"{expected}, as {like} needs it",
                f"another at {what}",
                'like="nir" reads any.',
            )
        usual = {
            "decay": np.round(1 - share, 14) if leaky else 1.0,
            "threshold": node.get("v_threshold", 1.0),
            "strict": True,
            "v_start": 0.0,
        }
        return {**usual, **read}


def _fill_in(like: str, node: Node, share: Any) -> tuple[dict[str, bool], dict[str, Any]]:
    """What a reader needs of a node, and its settings where they are not the usual ones.

    Usual are u = (1 - dt/tau) v + x, a spike above the threshold, and a hard reset to 0.

    :param share: dt / tau of a neuron that leaks, dt of another one."""
    leaky = "tau" in node
    r = node["r"]
    leak = node.get("v_leak", 0.0)
    v_reset = node.get("v_reset", 0.0)
    threshold = node.get("v_threshold", 1.0)

    needs = {"v_leak = 0": np.allclose(leak, 0)}
    is_plain = np.allclose(r, 1)
    match like:
        case "nir":
            gain = np.round(r * share, 14)
            return {}, {"gain": gain, "constant": leak * share, "v_reset": v_reset}
        case "norse" if leaky:
            return {}, {"gain": share, "constant": leak * share, "v_start": leak}
        case "spikingjelly":
            is_whole = np.allclose(r * share, 1, 1e-6)
            needs = {
                "R of tau/dt or 1, of IF 1/dt": is_whole or (leaky and is_plain),
                "v_leak = v_reset": not leaky or np.allclose(leak, v_reset),
            }
            return needs, {
                "gain": 1.0 if is_whole else share,
                "constant": leak * share,
                "strict": False,
                "v_reset": v_reset,
                "v_start": v_reset,
            }
        case "sinabs":
            varied = {"decay": np.exp(-share)} if leaky else {"floor": -threshold}
            return needs, {"strict": False, "reset": "soft", "max_spikes": None, **varied}
        case "snntorch" if leaky:
            return needs, {"threshold": threshold / (r * share)}
        case "snntorch":
            return {"R = 1": is_plain}, {"decay": 0.9, "reset": None}
    return {}, {}


def _as_setting(value: Any) -> Setting:
    """An array as a number where all of it is the same, otherwise as Values."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    if (value == value.flat[0]).all():
        value = value.flat[0]
    return setting(torch.tensor(value, dtype=torch.float64, device="cpu"))
