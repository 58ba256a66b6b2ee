"""Networks that do not come with the package are fetched: whole or not at all."""

import errno
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pooch
import pytest
import torch

import art_snn
from art_snn import zoo
from art_snn.checks import ArgumentError, WriteFailed
from art_snn.zoo import networks
from art_snn.zoo.entry import MANIFEST
from tests.zoo.server import Server, serving
from tests.zoo.shelf import added

NAME = "small-plain"
FILE = f"{NAME}.safetensors"
NOWHERE = "http://127.0.0.1:1/zoo"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and a package that brings a manifest and no network."""
    added(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / MANIFEST).write_bytes((tmp_path / "zoo" / MANIFEST).read_bytes())
    monkeypatch.setattr(networks, "_folder", lambda: tmp_path / "package")
    monkeypatch.setattr(networks, "_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path, cache, monkeypatch):
    """The files of that network, at the address."""
    with serving({file.name: file.read_bytes() for file in (tmp_path / "zoo").iterdir()}) as it:
        monkeypatch.setattr(networks, "_address", lambda: it.address)
        yield it


def test_a_network_is_fetched_once_and_then_found_in_the_cache(server: Server, cache, monkeypatch):
    assert zoo.names() == [NAME]
    network, (x, _) = zoo.load_network(NAME), zoo.samples("pictures")
    files = {name: content for name, content in server.files.items() if name != MANIFEST}
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == files
    monkeypatch.setattr(networks, "_address", lambda: NOWHERE)
    again = zoo.load_network(NAME)
    with torch.no_grad():
        assert torch.equal(network(torch.as_tensor(x)), again(torch.as_tensor(x)))
    assert set(server.asked.values()) == {1}


def test_a_connection_that_breaks_is_tried_again_once_and_leaves_nothing(server: Server, cache):
    server.cut = 2
    with pytest.raises(ArgumentError, match=rf"^zoo: expected {FILE} in .* by ART_SNN_ZOO"):
        zoo.load_network(NAME)
    assert [*cache.glob("*")] == []
    server.cut = 1
    zoo.load_network(NAME)
    assert server.asked[FILE] == 4


def test_other_bytes_than_the_manifest_states_are_neither_kept_nor_loaded(server: Server, cache):
    whole = server.files[FILE]
    server.files[FILE] = whole[:-1] + bytes([whole[-1] ^ 1])
    with pytest.raises(ArgumentError, match=rf"^zoo: expected {FILE} .*SHA256 hash"):
        zoo.load_network(NAME)
    assert not (cache / FILE).exists()
    server.files[FILE] = whole
    zoo.load_network(NAME)
    (cache / FILE).write_bytes(whole[:-9])
    zoo.load_network(NAME)
    assert (cache / FILE).read_bytes() == whole


def test_no_space_left_is_no_complaint_about_the_server(server: Server, cache, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pooch.core.shutil.move", full)
    with pytest.raises(WriteFailed, match=rf"{FILE} could not be written \(No space left"):
        zoo.load_network(NAME)
    assert [*cache.iterdir()] == []


OWNER = "Zoo, https://github.com/OWNER/project/raw/main/zoo"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["Issues, https://h/i", f"Zoo, {NOWHERE}"], f"{NOWHERE}: ConnectionError"),
        *((k, "is not set in this version") for k in ([OWNER], ["Issues, https://h/i"], [], None)),
    ],
)
def test_one_sentence_says_where_a_network_was_looked_for(lines, reason, cache, monkeypatch):
    def metadata(name: str) -> Any:
        if lines is None:
            raise PackageNotFoundError(name)
        return SimpleNamespace(get_all=lambda _: lines or None)

    monkeypatch.setattr(networks, "metadata", metadata)
    if "not set" in reason:
        monkeypatch.setattr(pooch, "create", None)  # It is not asked for.
        cache.mkdir()
        (cache / FILE).write_bytes(b"damaged")
    with pytest.raises(ArgumentError) as caught:
        zoo.load_network(NAME)
    words, where = str(caught.value), f"{cache.parent / 'package'}, in {cache} or at the repository"
    assert words.startswith(f"zoo: expected {FILE} in {where}, got none (")
    assert reason in words
    assert "OWNER" not in words


def test_an_installed_package_has_its_manifest_and_a_cache_of_its_version(monkeypatch, tmp_path):
    monkeypatch.delenv(networks.VARIABLE, raising=False)
    monkeypatch.setattr("art_snn.__path__", [str(tmp_path / "site" / "art_snn")])
    assert networks._folder() == Path(networks.__file__).parent
    assert networks._cache().parts[-2:] == ("zoo", art_snn.__version__)
    assert "art_snn" in networks._cache().parts
