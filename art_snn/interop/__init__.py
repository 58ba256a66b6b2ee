"""Networks of SpikingJelly, snnTorch, Norse and sinabs, and hand-written ones, under our rules."""

from art_snn.interop.adapt import adapt as adapt
from art_snn.interop.body import ModelBody as ModelBody
from art_snn.interop.kinds import register_neuron as register_neuron
from art_snn.interop.nir import from_nir as from_nir
