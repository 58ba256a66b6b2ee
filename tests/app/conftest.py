"""A small trained network, and the folder in which a test works with it."""

import shutil

import pytest

from tests.records import train_into


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model and weights, after some steps on the digits."""
    folder = tmp_path_factory.mktemp("trained")
    train_into(folder)
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """The working folder of a test, with the network."""
    for name in ("weights.pt", "model.py"):
        shutil.copy(trained / name, tmp_path)
    return tmp_path
