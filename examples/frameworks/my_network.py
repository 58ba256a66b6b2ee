"""What `--model my_network.py:load` needs: a function that returns the plain model."""

from spikingjelly.activation_based import functional, layer, neuron
from torch import nn


def load():
    stem = layer.Conv2d(1, 16, 3, padding=1), layer.BatchNorm2d(16), neuron.LIFNode()
    model = nn.Sequential(*stem, layer.AvgPool2d(2), layer.Flatten(), layer.Linear(256, 10))
    functional.set_step_mode(model, "m")  # all time steps in one call
    return model
