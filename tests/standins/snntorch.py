"""snnTorch 1.0.0: one step per call, (spikes, potential) returned, the potential in a buffer."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.standins import of, spike

ROOT = "snntorch._neurons"


def atan(alpha: float = 2.0) -> Any:
    def slope(x: Tensor) -> Tensor:
        return alpha / 2 / (1 + (torch.pi / 2 * alpha * x) ** 2)

    return lambda x: spike(x, slope, lambda x: (x > 0).float())


@of(f"{ROOT}.neurons")
class SpikingNeuron(nn.Module):
    # Every neuron that was ever built: reset_hidden reaches those of other networks.
    instances: ClassVar[list[SpikingNeuron]] = []
    reset_dict: ClassVar[dict[str, int]] = {"subtract": 0, "zero": 1, "none": 2}

    def __init__(
        self,
        threshold: Any = 1.0,
        spike_grad: Any = None,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: Any = False,
        output: bool = False,
        graded_spikes_factor: Any = 1.0,
    ) -> None:
        super().__init__()
        SpikingNeuron.instances.append(self)
        self.spike_grad = spike_grad or atan()
        self.init_hidden, self.output = init_hidden, output
        self.inhibition, self.state_quant = inhibition, state_quant
        self._number("threshold", threshold, learn_threshold)
        self._number("graded_spikes_factor", graded_spikes_factor, False)
        self._number("reset_mechanism_val", self.reset_dict[reset_mechanism], False)
        self._reset_mechanism = reset_mechanism

    def _number(self, name: str, value: Any, learn: bool) -> None:
        value = torch.as_tensor(value)
        if learn:
            setattr(self, name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    @property
    def reset_mechanism(self) -> str:
        return self._reset_mechanism

    @reset_mechanism.setter
    def reset_mechanism(self, name: str) -> None:
        # As in the original, the equation was chosen when the neuron was built and stays.
        self.reset_mechanism_val = torch.as_tensor(self.reset_dict[name])
        self._reset_mechanism = name

    def fire(self, mem: Tensor) -> Tensor:
        mem = self.state_quant(mem) if self.state_quant else mem
        return self.spike_grad(mem - self.threshold) * self.graded_spikes_factor

    def fire_inhibition(self, mem: Tensor) -> Tensor:
        shifted = mem - self.threshold
        first = nn.functional.one_hot(shifted.argmax(1), shifted.shape[1])
        return self.spike_grad(shifted) * first

    def mem_reset(self, mem: Tensor) -> Tensor:
        return self.spike_grad(mem - self.threshold).clone().detach()


@of(f"{ROOT}.neurons")
class LIF(SpikingNeuron):
    states: ClassVar[tuple[str, ...]] = ("mem",)

    def __init__(
        self,
        beta: Any,
        *args: Any,
        learn_beta: bool = False,
        reset_delay: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._number("beta", beta, learn_beta)
        for name in self.states:
            self.register_buffer(name, torch.zeros(0), False)
        equations = {"subtract": self._base_sub, "zero": self._base_zero, "none": self._base_int}
        self.state_function = equations[self.reset_mechanism]
        self.reset_delay = reset_delay

    def reset_mem(self) -> Any:
        for name in self.states:
            setattr(self, name, torch.zeros_like(getattr(self, name)))
        values = tuple(getattr(self, name) for name in self.states)
        return values[0] if len(values) == 1 else values

    def _answer(self, input_: Tensor, **states: Tensor | None) -> Any:
        """Spikes, and the states behind them unless they are hidden."""
        for name, value in states.items():
            if value is not None:
                setattr(self, name, value)
                if self.init_hidden:
                    raise TypeError(f"`{name}` should not be passed while `init_hidden=True`")
            if getattr(self, name).shape != input_.shape:
                setattr(self, name, torch.zeros_like(input_))
        spk = self._stepped(input_)
        if "spk" in states:
            self.spk = spk
        if self.init_hidden and not self.output:
            return spk
        return (spk, *(getattr(self, name) for name in states if name != "spk"))

    def _stepped(self, input_: Tensor) -> Tensor:
        self.reset = self.mem_reset(self.mem)
        self.mem = self.state_function(input_)
        if self.state_quant:
            self.mem = self.state_quant(self.mem)
        spk = self.fire_inhibition(self.mem) if self.inhibition else self.fire(self.mem)
        if not self.reset_delay:
            due = spk / self.graded_spikes_factor - self.reset
            if self.reset_mechanism_val == 0:
                self.mem = self.mem - due * self.threshold
            elif self.reset_mechanism_val == 1:
                self.mem = self.mem - due * self.mem
        return spk

    def _base_state_function(self, input_: Tensor) -> Tensor:
        return self.beta.clamp(0, 1) * self.mem + input_

    def _base_sub(self, input_: Tensor) -> Tensor:
        return self._base_state_function(input_) - self.reset * self.threshold

    def _base_zero(self, input_: Tensor) -> Tensor:
        self.mem = (1 - self.reset) * self.mem
        return self._base_state_function(input_)

    def _base_int(self, input_: Tensor) -> Tensor:
        return self._base_state_function(input_)


@of(f"{ROOT}.leaky")
class Leaky(LIF):
    def forward(self, input_: Tensor, mem: Tensor | None = None) -> Any:
        return self._answer(input_, mem=mem)

    @classmethod
    def reset_hidden(cls) -> None:
        for neuron in cls.instances:
            if isinstance(neuron, Leaky):
                neuron.reset_mem()


@of(f"{ROOT}.synaptic")
class Synaptic(LIF):
    """A second state between the current and the potential; only the reset by subtraction."""

    states = ("syn", "mem")

    def __init__(self, alpha: Any, beta: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(beta, *args, **kwargs)
        self._number("alpha", alpha, False)

    def forward(self, input_: Tensor, syn: Tensor | None = None, mem: Tensor | None = None) -> Any:
        return self._answer(input_, syn=syn, mem=mem)

    def _base_state_function(self, input_: Tensor) -> Tensor:
        self.syn = self.alpha.clamp(0, 1) * self.syn + input_
        return self.beta.clamp(0, 1) * self.mem + self.syn


@of(f"{ROOT}.rleaky")
class RLeaky(LIF):
    """Its own spikes come back to it, one to one."""

    states = ("spk", "mem")

    def __init__(self, beta: Any, V: Any = 1.0, *args: Any, **kwargs: Any) -> None:
        assert kwargs.pop("all_to_all") is False
        super().__init__(beta, *args, **kwargs)
        self._number("V", V, True)

    def forward(self, input_: Tensor, spk: Tensor | None = None, mem: Tensor | None = None) -> Any:
        return self._answer(input_, spk=spk, mem=mem)

    def _base_state_function(self, input_: Tensor) -> Tensor:
        return self.beta.clamp(0, 1) * self.mem + input_ + self.spk * self.V
