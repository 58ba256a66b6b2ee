"""Loops over time steps as one kernel each, on CUDA devices.

In an eager loop over [T, N, ...] every operation is a launch of its own, and reads and writes
global memory. Compiled by torch's inductor the steps are one kernel, whose state stays in
registers. A :class:`Loop` gives the operations of one step, which are written once.

A compiled loop is trusted only if it gives what the eager loop gives on trial inputs, bit for bit
where the loop is `exact`. Otherwise the eager loop runs, and :func:`report` says why."""

import dataclasses
import os
import threading
import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import Tensor

from art_snn.checks import abridge, require

SWITCH = "ART_SNN_FUSED"
"""Environment variable: the types of device on which loops are fused, "cuda" if it is not set."""
UNROLLED = 16
"""Time steps in one kernel. Longer loops are several kernels, with the state in memory between."""
LANES = 16
"""Elements of a step come in multiples of this, so that every row is aligned."""
ALIGNED = 16  # Bytes.
KEPT = 64
"""Compiled loops that a process keeps: the last ones that it used."""
MOST_ELEMENTS = 2**31 - 1
"""Elements of a tensor that a kernel can count."""
TRIED = (2**16 + LANES, 2 * LANES)
"""Elements of a time step in the trials; triton tunes the kernel on the first."""

Rows = tuple[Tensor, ...]


class Loop(ABC):
    """A recurrence over time that is elementwise in everything else.

    A subclass is a frozen dataclass: its steps depend on nothing but its fields."""

    backwards: ClassVar[bool] = False
    """Whether it runs from the last time step to the first."""
    carries: ClassVar[bool] = False
    """Whether a step leaves a state next to its results."""
    exact: ClassVar[bool] = True
    """Whether compiled and eager must agree bit for bit, and not only to rounding."""

    @abstractmethod
    def step(
        self, given: Rows, before: Rows | None, state: Tensor | None
    ) -> tuple[Rows, Tensor | None]:
        """Results and state (or None) of one time step, without changing what comes in.

        :param given: what is known of this step, rows [M, ...].
        :param before: the results of the step before; None at the first, as the state it left."""

    @abstractmethod
    def eager(self, given: Rows, results: Rows) -> None:
        """The loop that the compiled one is held against: [T, M] -> [T, M], into `results`."""

    @abstractmethod
    def trial(self, like: Tensor, generator: torch.Generator) -> Rows:
        """What to try the compiled loop on, of shape, dtype and device of `like` [T, M]."""

    def witness(self) -> "Loop | None":
        """A loop of the same steps with more results, which must be trusted before this one."""
        return None

    def tolerance(self, given: Rows, expected: Rows) -> Tensor | float:
        """By how much the results may differ from the expected ones, where it is not exact."""
        return 0.0


def run_fused(loop: Loop, given: Rows, results: Rows) -> bool:
    """Run a loop compiled, if that is possible; returns whether it did.

    :param given: tensors [T, N, ...]; may be views that repeat one step.
    :param results: buffers [T, N, ...] of the same dtype that receive the results."""
    if not _possible(given, results) or not _settled(loop):
        return False
    rows = [_rows(tensor) for tensor in given]
    entry = _entry(loop, rows, results)
    if entry.reason is not None:
        return False
    try:
        entry.run(rows, results)
    except torch.cuda.OutOfMemoryError:
        return False
    except Exception as error:
        entry.reason = abridge(f"it failed at a call: {type(error).__name__}: {error}")
        return False
    return True


def report() -> list[str]:
    """What became of the loops that were used last in this process, one sentence each."""
    with _lock:
        return [f"{entry}" for entry in _entries.values()]


def devices() -> frozenset[str]:
    """Types of device on which loops are fused; ValueError for another ART_SNN_FUSED."""
    words = os.environ.get(SWITCH, "cuda").strip().lower()
    types = frozenset(words.split(",")) - {"none"}
    expected = "'none', 'cuda', 'cpu' or 'cuda,cpu'"
    require(types <= {"cuda", "cpu"}, SWITCH, expected, repr(words), "Unset it.")
    return types


def clear() -> None:
    """Drop all compiled loops."""
    with _lock:
        _entries.clear()


@dataclass
class _Entry:
    """A loop over some number of steps, compiled or refused for a reason."""

    loop: Loop
    steps: int
    dtype: torch.dtype
    device: torch.device
    repeated: tuple[bool, ...]
    outputs: int
    reason: str | None = None
    agreement: str = ""
    compiled: dict[Hashable, Callable[..., Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        way = f"eager, since {self.reason}" if self.reason else f"fused, {self.agreement}"
        return f"{self.loop} over {self.steps} steps of {self.dtype} on {self.device}: {way}"

    def settle(self) -> None:
        """Compile and try, or note why not."""
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                for size in TRIED:
                    self.agreement = self.tried(size)
        except _Differs as difference:
            self.reason = str(difference)
        except Exception as error:
            self.reason = abridge(f"it could not be compiled: {type(error).__name__}: {error}")

    def tried(self, size: int) -> str:
        """How well compiled and eager agree on trial inputs of that many elements a step."""
        like = torch.empty(self.steps, size, dtype=self.dtype, device=self.device)
        generator = torch.Generator(self.device).manual_seed(size)
        given = tuple(
            x[:1].expand_as(x) if repeats else x
            for x, repeats in zip(self.loop.trial(like, generator), self.repeated, strict=True)
        )
        expected, got = (
            tuple(torch.full_like(like, -1) for _ in range(self.outputs)) for _ in range(2)
        )
        self.loop.eager(given, expected)
        self.run([_rows(tensor) for tensor in given], got)
        return _agreement(self.loop, given, expected, got)

    def run(self, given: Sequence[Tensor], results: Rows) -> None:
        """The loop in parts of at most UNROLLED steps, given [T, m, 16], or [m, 16] if repeated."""
        outs, parts = [_rows(tensor) for tensor in results], _parts(self.steps)
        before: list[Tensor] = []
        for i, part in enumerate(reversed(parts) if self.loop.backwards else parts):
            first, last = i == 0, i == len(parts) - 1
            inside = [x if x.ndim == 2 else x[part] for x in given]
            rows = [out[t] for out in outs for t in range(part.start, part.stop)]
            after = [torch.empty_like(outs[0][0])] if self.loop.carries and not last else []
            self.part(part.stop - part.start, first, last)(*inside, *before, *rows, *after)
            edge = part.start if self.loop.backwards else part.stop - 1
            before = [out[edge] for out in outs] + after

    def part(self, steps: int, first: bool, last: bool) -> Callable[..., Any]:
        """The compiled function of so many steps."""
        key = steps, first, last
        if key not in self.compiled:
            self.compiled[key] = self.compile(*key)
        return self.compiled[key]

    def compile(self, steps: int, first: bool, last: bool) -> Callable[..., Any]:
        """Trace the steps over any number of elements, and compile them."""
        from torch._inductor import compile as inductor
        from torch.fx.experimental.proxy_tensor import make_fx

        carried = int(self.loop.carries)
        rows = (0 if first else self.outputs + carried) + (0 if last else carried)
        shapes: list[tuple[int, ...]] = [() if r else (steps,) for r in self.repeated]
        shapes += [()] * (steps * self.outputs + rows)
        with torch.inference_mode(False), torch.no_grad():
            inputs: list[Any] = _stand_ins(shapes, self.dtype, self.device)
            graph = make_fx(self.function(steps, first, last), tracing_mode="symbolic")(*inputs)
            compiled: Callable[..., Any] = inductor(graph, inputs, _options())
        return compiled

    def function(self, steps: int, first: bool, last: bool) -> Callable[..., None]:
        """What is traced: of what is given, results and state before, and rows to write to."""
        loop, carried = self.loop, self.loop.carries

        def unrolled(*tensors: Tensor) -> None:
            rest = list(tensors)
            given = [rest.pop(0) for _ in self.repeated]
            before = None if first else tuple(rest.pop(0) for _ in range(self.outputs))
            state = rest.pop(0) if carried and not first else None
            for t in reversed(range(steps)) if loop.backwards else range(steps):
                now = tuple(x if x.ndim == 2 else x.select(0, t) for x in given)
                before, state = loop.step(now, before, state)
                for i, result in enumerate(before):
                    rest[i * steps + t].copy_(result)
            if carried and not last:
                assert state is not None
                rest[-1].copy_(state)

        return unrolled


class _Differs(Exception):
    """A compiled loop gave other results than the eager one."""


_lock = threading.RLock()
_entries: OrderedDict[Hashable, _Entry] = OrderedDict()


def _after_fork() -> None:
    """Whoever held the lock is not in this process."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _entry(loop: Loop, given: Sequence[Tensor], results: Rows) -> _Entry:
    """The loop for such tensors, settled at its first use."""
    like, repeated = results[0], tuple(x.ndim == 2 for x in given)
    key = loop, len(like), like.dtype, like.device, repeated, len(results)
    # Threads wait for the one that compiles: which way a loop takes must not depend on their race.
    with _lock:
        entry = _entries.get(key)
        if entry is None:
            entry = _Entry(*key)
            witness = loop.witness()
            if witness is not None:
                entry.reason = _entry(witness, given, (*results, like)).reason
            if entry.reason is None:
                entry.settle()
            _entries[key] = entry
            while len(_entries) > KEPT:
                _entries.popitem(last=False)
        _entries.move_to_end(key)
        return entry


def _possible(given: Rows, results: Rows) -> bool:
    """Whether compiled code can take these tensors, in the present state of torch."""
    first = results[0]
    if torch.compiler.is_compiling() or first.device.type not in devices():
        return False
    alike = all(type(x) is Tensor and _form(x) == _form(first) for x in (*given, *results))
    writable = all(x.is_contiguous() and x.data_ptr() % ALIGNED == 0 for x in results)
    return alike and writable and _fits(first) and not _watched(first)


def _form(x: Tensor) -> tuple[object, ...]:
    """What compiled code takes to be the same in all tensors, without a look."""
    return x.shape, x.dtype, x.device, x.layout


def _fits(x: Tensor) -> bool:
    """Whether a tensor has a size that compiled code was made for, with rows that are aligned."""
    elements = x[0].numel() if len(x) else 0
    return elements % LANES == 0 and elements > LANES and x.numel() <= MOST_ELEMENTS


def _watched(x: Tensor) -> bool:
    """Whether somebody follows every operation; function modes, as of a default device, do not."""
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        return True
    half = x.dtype.itemsize < 4 and torch.is_autocast_enabled(x.device.type)
    modes = torch._C._len_torch_dispatch_stack()
    transformed = torch._C._are_functorch_transforms_active()
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return bool(half or modes or transformed or traced)


def _settled(value: object) -> bool:
    """Whether a value is what its fields say, for good, so that an equal one means the same."""
    if value is None or isinstance(value, int | float | str):
        return bool(value == value)  # NaN is equal to nothing
    if isinstance(value, tuple):
        return all(map(_settled, value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return False
    fields = dataclasses.fields(value)
    frozen = bool(type(value).__dataclass_params__.frozen)  # type: ignore[attr-defined]
    alone = vars(value).keys() <= {field.name for field in fields}
    by_value = type(value).__hash__ is not object.__hash__ and all(f.compare for f in fields)
    return frozen and alone and by_value and all(_settled(getattr(value, f.name)) for f in fields)


def _rows(x: Tensor) -> Tensor:
    """[T, N, ...] -> [T, m, 16] without gaps; [m, 16] where a view repeats one step."""
    x = x.detach()
    if len(x) > 1 and x.stride(0) == 0:
        return x[0].reshape(-1, LANES).contiguous()
    return x.reshape(len(x), -1, LANES).contiguous()


def _parts(steps: int) -> list[slice]:
    """The steps in as few parts as UNROLLED allows, of nearly the same length."""
    count = -(-steps // UNROLLED)
    edges = [steps * i // count for i in range(count + 1)]
    return [slice(*ends) for ends in pairwise(edges)]


def _agreement(loop: Loop, given: Rows, expected: Rows, got: Rows) -> str:
    """In which sense the results agree; raises _Differs when they do not."""
    pairs = list(zip(expected, got, strict=True))
    differ = sum(int((a.ne(b) & ~(a.isnan() & b.isnan())).sum()) for a, b in pairs)
    if not differ:
        return "bit for bit as eager"
    within = loop.tolerance(given, expected)
    if loop.exact or not all(bool(((a - b).abs() <= within).all()) for a, b in pairs):
        share = differ / sum(a.numel() for a in expected)
        raise _Differs(f"compiled it differs from the eager loop ({share:.1e} of the trial)")
    return "to rounding as eager"


def _stand_ins(
    shapes: Sequence[tuple[int, ...]], dtype: torch.dtype, device: torch.device
) -> list[Tensor]:
    """Tensors without values [*shape, m, 16], m any number from 2."""
    from torch._dynamo.source import LocalSource
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

    environment = ShapeEnv()
    source = LocalSource("m")
    symbol = environment.create_symbol(2**16, source, DimDynamic.DYNAMIC)
    m = environment.create_symintnode(symbol, hint=2**16, source=source)
    with FakeTensorMode(shape_env=environment):
        return [torch.empty([*s, m, LANES], dtype=dtype, device=device) for s in shapes]


def _options() -> dict[str, Any]:
    """Options of this torch with which inductor rounds as eager does and starts no process."""
    from torch._inductor import config

    wanted = {
        "emulate_precision_casts": True,
        "eager_numerics.division_rounding": True,
        "eager_numerics.disable_ftz": True,
        "max_fusion_size": 100 * UNROLLED,
        "compile_threads": 1,
        "triton.cudagraphs": False,
    }
    options = {}
    for name, value in wanted.items():
        with suppress(AttributeError):
            attrgetter(name)(config)
            options[name] = value
    return options
