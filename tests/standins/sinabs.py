"""sinabs 3.1.3: all steps of [N, T, ...] in one call, states in buffers of the input's shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.standins import of

ROOT = "sinabs.layers"
ACTIVATION = "sinabs.activation"


class Spikes:
    required_states = ("v_mem",)

    @classmethod
    def forward(cls, ctx: Any, v: Tensor, threshold: Tensor, surrogate: Any) -> Tensor:
        ctx.save_for_backward(v.clone())
        ctx.threshold, ctx.surrogate = threshold, surrogate
        return cls.spikes(v, threshold)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.surrogate(ctx.saved_tensors[0], ctx.threshold), None, None


@of(f"{ACTIVATION}.spike_generation")
class MultiSpike(Spikes, torch.autograd.Function):
    @staticmethod
    def spikes(v: Tensor, threshold: Tensor) -> Tensor:
        return (v > 0) * torch.div(v, threshold, rounding_mode="trunc").float()


@of(f"{ACTIVATION}.spike_generation")
class SingleSpike(Spikes, torch.autograd.Function):
    @staticmethod
    def spikes(v: Tensor, threshold: Tensor) -> Tensor:
        return (v - threshold >= 0).float()


@of(f"{ACTIVATION}.reset_mechanism")
@dataclass
class MembraneSubtract:
    subtract_value: float | None = None

    def __call__(self, spikes: Tensor, state: dict, threshold: Tensor) -> dict:
        by = threshold if self.subtract_value is None else self.subtract_value
        return {**state, "v_mem": state["v_mem"] - spikes * by}


@of(f"{ACTIVATION}.reset_mechanism")
@dataclass
class MembraneReset:
    """As in the original, the reset value is added to every potential, fired or not."""

    reset_value: float = 0.0

    def __call__(self, spikes: Tensor, state: dict, threshold: Tensor) -> dict:
        return {**state, "v_mem": state["v_mem"] * (spikes == 0).float() + self.reset_value}


@of(f"{ACTIVATION}.surrogate_gradient_fn")
@dataclass
class SingleExponential:
    grad_width: float = 0.5
    grad_scale: float = 1.0

    def __call__(self, v: Tensor, threshold: Tensor) -> Tensor:
        width = threshold * self.grad_width
        return self.grad_scale / width * torch.exp(-(v - threshold).abs() / width)


@of(f"{ROOT}.stateful_layer")
class StatefulLayer(nn.Module):
    def __init__(self, state_names: list[str]) -> None:
        super().__init__()
        for name in state_names:
            self.register_buffer(name, torch.zeros(0))

    def is_state_initialised(self) -> bool:
        return all(buffer.shape != (0,) for buffer in self.buffers())

    def init_state_with_shape(self, shape: Any) -> None:
        for name, buffer in self.named_buffers():
            self.register_buffer(name, torch.zeros(shape, device=buffer.device))

    def handle_state_batch_size_mismatch(self, new_batch_size: int) -> None:
        """Another batch size draws its states at random from those of the last batch."""
        for name, buffer in self.named_buffers():
            rows = torch.randint(0, len(buffer), (new_batch_size,))
            self.register_buffer(name, buffer[rows])

    def reset_states(self) -> None:
        for buffer in self.buffers():
            buffer.zero_().detach_()

    def __deepcopy__(self, memo: Any = None) -> StatefulLayer:
        """A new layer from the arguments: hooks, train mode and other attributes are lost."""
        copy = self.__class__(**self._param_dict)
        for name, value in (*self.named_parameters(), *self.named_buffers()):
            getattr(copy, name).data = value.data.clone()
        return copy

    @property
    def _param_dict(self) -> dict:
        return {}


SUBTRACT, EXPONENTIAL = MembraneSubtract(), SingleExponential()


def _fixed(value: Any) -> nn.Parameter | None:
    return None if value is None else nn.Parameter(torch.as_tensor(value), requires_grad=False)


@of(f"{ROOT}.lif")
class LIF(StatefulLayer):
    def __init__(
        self,
        tau_mem: Any,
        tau_syn: Any = None,
        spike_threshold: Any = 1.0,
        spike_fn: Any = MultiSpike,
        reset_fn: Any = SUBTRACT,
        surrogate_grad_fn: Any = EXPONENTIAL,
        min_v_mem: float | None = None,
        train_alphas: bool = False,
        shape: Any = None,
        norm_input: bool = True,
        record_states: bool = False,
    ) -> None:
        super().__init__(["v_mem"] if tau_syn is None else ["v_mem", "i_syn"])
        for name, tau in (("mem", tau_mem), ("syn", tau_syn)):
            value = None if tau is None else torch.as_tensor(tau, dtype=torch.float32)
            if train_alphas:
                value = None if tau is None else torch.exp(-1.0 / value)
            kept = None if value is None else nn.Parameter(value)
            setattr(self, f"{'alpha' if train_alphas else 'tau'}_{name}", kept)
        self.spike_fn, self.reset_fn, self.surrogate_grad_fn = spike_fn, reset_fn, surrogate_grad_fn
        self.train_alphas, self.norm_input = train_alphas, norm_input
        self.record_states = record_states
        self.min_v_mem, self.spike_threshold = _fixed(min_v_mem), _fixed(spike_threshold)
        if shape:
            self.init_state_with_shape(shape)

    @property
    def alpha_mem_calculated(self) -> Tensor:
        return self.alpha_mem if self.train_alphas else torch.exp(-1.0 / self.tau_mem)

    @property
    def alpha_syn_calculated(self) -> Tensor | None:
        if self.train_alphas:
            return self.alpha_syn
        return None if self.tau_syn is None else torch.exp(-1.0 / self.tau_syn)

    def forward(self, input_data: Tensor) -> Tensor:
        batch, _, *rest = input_data.shape
        if not self.is_state_initialised() or self.v_mem.shape[1:] != tuple(rest):
            self.init_state_with_shape((batch, *rest))
        elif len(self.v_mem) != batch:
            self.handle_state_batch_size_mismatch(batch)
        alpha_mem, alpha_syn = self.alpha_mem_calculated, self.alpha_syn_calculated
        state, out, recorded = dict(self.named_buffers()), [], []
        for x in input_data.unbind(1):
            spikes, state = self._step(x, state, alpha_mem, alpha_syn)
            out.append(spikes)
            recorded.append(state["v_mem"])
        self.v_mem = state["v_mem"]
        self.i_syn = None if alpha_syn is None else state["i_syn"]
        self.recordings = {"v_mem": torch.stack(recorded, 1)} if self.record_states else {}
        return torch.stack(out, 1)

    def _step(self, x: Tensor, state: dict, alpha_mem: Tensor, alpha_syn: Any) -> tuple:
        state["i_syn"] = x if alpha_syn is None else alpha_syn * (state["i_syn"] + x)
        drive = (1 - alpha_mem) * state["i_syn"] if self.norm_input else state["i_syn"]
        state["v_mem"] = alpha_mem * state["v_mem"] + drive
        spikes = self.spike_fn.apply(state["v_mem"], self.spike_threshold, self.surrogate_grad_fn)
        state = self.reset_fn(spikes, state, self.spike_threshold)
        if self.min_v_mem is not None:
            state["v_mem"] = torch.relu(state["v_mem"] - self.min_v_mem) + self.min_v_mem
        return spikes, state

    @property
    def _param_dict(self) -> dict:
        taus = {}
        for name in ("mem", "syn"):
            value = getattr(self, f"{'alpha' if self.train_alphas else 'tau'}_{name}")
            if value is not None:
                value = value.detach()
                taus[f"tau_{name}"] = -1.0 / torch.log(value) if self.train_alphas else value
        names = ["spike_threshold", "spike_fn", "reset_fn", "surrogate_grad_fn", "train_alphas"]
        names += ["min_v_mem", "norm_input", "record_states"]
        shape = self.v_mem.shape if self.is_state_initialised() else None
        return {"shape": shape, **taus, **{name: getattr(self, name) for name in names}}


@of(f"{ROOT}.iaf")
class IAF(LIF):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(tau_mem=math.inf, norm_input=False, **kwargs)
        self.tau_mem = None

    @property
    def alpha_mem_calculated(self) -> Tensor:
        return torch.tensor(1.0)

    @property
    def _param_dict(self) -> dict:
        dropped = ("tau_mem", "train_alphas", "norm_input")
        return {name: v for name, v in super()._param_dict.items() if name not in dropped}


def _squeezed(kind: Any) -> Any:
    """The subclass that takes merged inputs [N*T, ...], the steps of a sample side by side."""

    def __init__(self: Any, batch_size: int = -1, num_timesteps: int = -1, **kwargs: Any) -> None:
        kind.__init__(self, **kwargs)
        self.batch_size, self.num_timesteps = batch_size, num_timesteps

    def forward(self: Any, x: Tensor) -> Tensor:
        apart = x.reshape(self.batch_size, self.num_timesteps, *x.shape[1:])
        return kind.forward(self, apart).flatten(0, 1)

    def _param_dict(self: Any) -> dict:
        lengths = {"batch_size": self.batch_size, "num_timesteps": self.num_timesteps}
        return {**kind._param_dict.fget(self), **lengths}

    members = {"__init__": __init__, "forward": forward, "__module__": kind.__module__}
    members["_param_dict"] = property(_param_dict)
    return type(f"{kind.__name__}Squeeze", (kind,), members)


IAFSqueeze = _squeezed(IAF)
LIFSqueeze = _squeezed(LIF)
