"""NIR's neurons with a synapse fire here as in the framework whose reading is asked for."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
import torch

from art_snn import Frames
from art_snn.interop import from_nir
from tests.frameworks.loading import load

DT = 1e-4
READERS = {
    "norse": (("norse", "1.", "norse.torch"), "from_nir", {"dt": DT}),
    "snntorch": (("snntorch", "1.", "snntorch.import_nir"), "import_from_nir", {}),
    "spikingjelly": (
        ("spikingjelly", "2.", "spikingjelly.activation_based.nir_exchange"),
        "import_from_nir",
        {"dt": DT},
    ),
}
GIVEN = [
    ("norse", {}),
    ("norse", {"r": 3.3, "w_in": 2.2, "v_leak": 0.2}),
    ("snntorch", {"w_in": 2.2, "v_threshold": 0.8}),
    ("spikingjelly", {"v_reset": -0.3}),
]


@pytest.mark.parametrize(("like", "given"), GIVEN)
@pytest.mark.parametrize(("tau_syn", "tau_mem"), [(3e-4, 7e-4), (1.7e-4, 9e-4)])
def test_ten_thousand_steps_of_neurons_fire_as_in_the_framework(
    tau_syn: float, tau_mem: float, like: Any, given: dict[str, float]
) -> None:
    place, name, options = READERS[like]
    (module,) = load(*place)
    parts = {"tau_syn": tau_syn, "tau_mem": tau_mem, "r": tau_mem / DT, "w_in": tau_syn / DT}
    parts |= {"v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | given
    node = nir.CubaLIF(**{field: np.full(100, value) for field, value in parts.items()})
    ends = {"input": nir.Input(np.array([100])), "output": nir.Output(np.array([100]))}
    graph = nir.NIRGraph({**ends, "n": node}, [("input", "n"), ("n", "output")])
    torch.manual_seed(0)
    x = torch.randn(100, 100).mul(0.6).add(0.3) * (3 if "r" in given else 1)

    model = getattr(module, name)(graph, **options)
    state = None
    expected = []
    fired: list[torch.Tensor] = []
    network = from_nir(graph, like=like, dt=DT, encoder=Frames(100))
    network.layers[0].register_forward_hook(lambda *call: fired.append(call[2][:, 0]))
    with torch.no_grad():
        for current in x:
            returned = model(current[None], state)
            spikes, state = returned if isinstance(returned, tuple) else (returned, state)
            expected.append(spikes[0])
        network(x[None])
    assert torch.equal(fired[0], torch.stack(expected))
    assert fired[0].sum() > 2000
