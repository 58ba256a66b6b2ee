"""Norse 1.1.0: cells that map (current, state) to (spikes, state) and keep nothing."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.standins import of, spike

ROOT = "norse.torch"


def fires(x: Tensor) -> Tensor:
    return spike(x, lambda x: 1 / (x.abs() + 1.0) ** 2, lambda x: (x > 0).to(x.dtype))


@of(f"{ROOT}.functional.reset")
def reset_value(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    return (1 - z) * v + z * reset


@of(f"{ROOT}.functional.reset")
def reset_subtract(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    return (1 - z) * v + z * (v - th)


@of(f"{ROOT}.utils.pytree")
class LIFBoxParameters(NamedTuple):
    tau_mem_inv: Tensor = torch.as_tensor(1.0 / 1e-2)
    v_leak: Tensor = torch.as_tensor(0.0)
    v_th: Tensor = torch.as_tensor(1.0)
    v_reset: Tensor = torch.as_tensor(0.0)
    method: str = "super"
    alpha: Tensor = torch.as_tensor(100.0)
    reset_method: Any = reset_value


@of(f"{ROOT}.functional.iaf")
class IAFParameters(NamedTuple):
    v_th: Tensor = torch.as_tensor(1.0)
    v_reset: Tensor = torch.as_tensor(0.0)
    method: str = "super"
    alpha: Tensor = torch.as_tensor(100.0)


@of(f"{ROOT}.utils.pytree")
class LIFParameters(NamedTuple):
    tau_syn_inv: Tensor = torch.as_tensor(1.0 / 5e-3)
    tau_mem_inv: Tensor = torch.as_tensor(1.0 / 1e-2)
    v_leak: Tensor = torch.as_tensor(0.0)
    v_th: Tensor = torch.as_tensor(1.0)
    v_reset: Tensor = torch.as_tensor(0.0)
    method: str = "super"
    alpha: Tensor = torch.as_tensor(100.0)


# Cells built without parameters share these.
BOX, IAF, LIF = LIFBoxParameters(), IAFParameters(), LIFParameters()


class State(NamedTuple):
    v: Tensor


class CurrentState(NamedTuple):
    v: Tensor
    i: Tensor


@of(f"{ROOT}.functional.lif_box")
def lif_box_feed_forward_step(
    x: Tensor, state: State, p: Any = BOX, dt: float = 0.001
) -> tuple[Tensor, State]:
    u = state.v + dt * p.tau_mem_inv * (x + p.v_leak - state.v)
    z = fires(u - p.v_th)
    return z, State(v=p.reset_method(z, u, p.v_reset, p.v_th))


@of(f"{ROOT}.functional.iaf")
def iaf_feed_forward_step(
    x: Tensor, state: State, p: Any = IAF, dt: float = 0.001
) -> tuple[Tensor, State]:
    u = state.v + x
    z = fires(u - p.v_th)
    return z, State(v=(1 - z) * u + z * p.v_reset)


@of(f"{ROOT}.functional.lif")
def lif_feed_forward_step(
    x: Tensor, state: CurrentState, p: Any = LIF, dt: float = 0.001
) -> tuple[Tensor, CurrentState]:
    i = state.i + x
    u = state.v + dt * p.tau_mem_inv * (p.v_leak - state.v + i)
    z = fires(u - p.v_th)
    v = (1 - z) * u + z * p.v_reset
    return z, CurrentState(v=v, i=i + -dt * p.tau_syn_inv * i)


@of(f"{ROOT}.module.snn")
class SNNCell(nn.Module):
    def __init__(self, activation: Any, state_fallback: Any, p: Any, dt: float = 0.001) -> None:
        super().__init__()
        self.activation, self.activation_sparse = activation, None
        self.state_fallback, self.p, self.dt = state_fallback, p, dt

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        state = self.state_fallback(input_tensor) if state is None else state
        return self.activation(input_tensor, state, self.p, self.dt)


@of(f"{ROOT}.module.lif_box")
class LIFBoxCell(SNNCell):
    def __init__(self, p: Any = BOX, dt: float = 0.001) -> None:
        super().__init__(lif_box_feed_forward_step, self.initial_state, p, dt)

    def initial_state(self, input_tensor: Tensor) -> State:
        return State(v=self.p.v_leak.detach().clone().requires_grad_())


@of(f"{ROOT}.module.iaf")
class IAFCell(SNNCell):
    def __init__(self, p: Any = IAF, dt: float = 0.001) -> None:
        super().__init__(iaf_feed_forward_step, self.initial_state, p, dt)

    def initial_state(self, input_tensor: Tensor) -> State:
        # As in the original, the parameter itself, which requires a gradient from then on.
        return State(v=self.p.v_reset.to(input_tensor.device).requires_grad_())


@of(f"{ROOT}.module.lif")
class LIFCell(SNNCell):
    def __init__(self, p: Any = LIF, dt: float = 0.001) -> None:
        super().__init__(lif_feed_forward_step, self.initial_state, p, dt)

    def initial_state(self, input_tensor: Tensor) -> CurrentState:
        v = self.p.v_leak.detach().clone().requires_grad_()
        return CurrentState(v=v, i=torch.zeros(input_tensor.shape))


@of(f"{ROOT}.module.sequential")
class SequentialState(nn.Sequential):
    """One step through all modules; those whose forward takes a state get theirs."""

    def __init__(self, *args: nn.Module) -> None:
        super().__init__(*args)
        self.stateful_layers = ["state" in inspect.signature(m.forward).parameters for m in args]

    def forward(self, input_tensor: Tensor, state: list | None = None) -> tuple[Any, list]:
        state = [None] * len(self) if state is None else state
        for index, module in enumerate(self):
            if self.stateful_layers[index]:
                input_tensor, state[index] = module(input_tensor, state[index])
            else:
                input_tensor = module(input_tensor)
        return input_tensor, state
