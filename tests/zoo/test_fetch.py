"""What is not there is fetched from one address: whole or not at all."""

from __future__ import annotations

import errno
import threading
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from art_snn import zoo
from art_snn.checks import ArgumentError, WriteFailed
from art_snn.zoo import fetch as fetching, places
from art_snn.zoo.manifest import MANIFEST
from tests.command import start
from tests.zoo.server import Server, serving
from tests.zoo.shelf import added

NAME = "small-plain"
FILE = f"{NAME}.safetensors"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, the only place on this machine that is looked into."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(places, "folders", lambda: {places.CACHE: folder})
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def server(tmp_path, cache, monkeypatch):
    """A zoo of one network, at the address."""
    added(tmp_path)
    with serving({file.name: file.read_bytes() for file in (tmp_path / "zoo").iterdir()}) as it:
        monkeypatch.setattr(fetching, "address", lambda: it.address)
        yield it


def test_a_network_is_fetched_once_and_found_in_the_cache_without_a_network(
    server: Server, cache, monkeypatch
):
    assert zoo.names() == [NAME]
    entry = zoo.entry(NAME)
    assert places.place_of(entry) == places.FETCHED
    network, (x, _) = zoo.load(NAME), zoo.samples("pictures")
    assert places.place_of(entry) == places.CACHE
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == server.files
    monkeypatch.setattr(fetching, "address", lambda: "http://127.0.0.1:1")
    again = zoo.load(NAME)
    with torch.no_grad():
        assert torch.equal(network(torch.as_tensor(x)), again(torch.as_tensor(x)))
    assert set(server.asked.values()) == {1}


@pytest.mark.parametrize("file", [MANIFEST, FILE])
def test_a_connection_that_breaks_once_is_tried_again(file, server: Server, cache):
    if file == FILE:
        zoo.names()
    server.cut = 1
    zoo.load(NAME)
    assert server.asked[file] == 2


@pytest.mark.parametrize("file", [MANIFEST, FILE])
def test_a_connection_that_breaks_again_leaves_nothing_in_the_cache(file, server: Server, cache):
    if file == FILE:
        zoo.names()
    before = [*cache.glob("*")]
    server.cut = 2
    with pytest.raises(ArgumentError, match=rf"^zoo: expected {file} from http.* by ART_SNN_ZOO"):
        zoo.load(NAME)
    assert [*cache.glob("*")] == before
    zoo.load(NAME)


@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"schema": 2}', b'{"schema": 1}'])
def test_what_is_no_manifest_is_not_kept(content, server: Server, cache):
    whole, server.files[MANIFEST] = server.files[MANIFEST], content
    if content == b'{"schema": 1}':
        assert zoo.names() == []
        return
    with pytest.raises(ArgumentError, match=r"^zoo: expected manifest\.json from .*of schema 1"):
        zoo.names()
    assert not (cache / MANIFEST).exists()
    server.files[MANIFEST] = whole
    assert zoo.names() == [NAME]


def test_other_bytes_than_the_manifest_states_are_neither_kept_nor_loaded(server: Server, cache):
    whole = server.files[FILE]
    server.files[FILE] = whole[:-1] + bytes([whole[-1] ^ 1])
    with pytest.raises(ArgumentError, match=rf"^zoo: expected {FILE} .*SHA256 hash"):
        zoo.load(NAME)
    assert not (cache / FILE).exists()
    server.files[FILE] = whole
    zoo.load(NAME)
    (cache / FILE).write_bytes(whole[:-9])
    zoo.load(NAME)
    assert (cache / FILE).read_bytes() == whole


def test_no_space_left_is_no_complaint_about_the_server(server: Server, cache, monkeypatch):
    zoo.names()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pooch.core.shutil.move", full)
        with pytest.raises(WriteFailed, match=rf"{FILE} could not be written \(No space left"):
            zoo.load(NAME)
    assert [file.name for file in cache.iterdir()] == [MANIFEST]


CODE = """
import sys
from pathlib import Path
from types import ModuleType
# Without torch and the modules that need it: they take seconds.
sys.modules["torch"] = ModuleType("torch")
package = sys.modules["art_snn.zoo"] = ModuleType("art_snn.zoo")
package.__path__ = [{package!r}]
from art_snn.zoo import fetch
fetch.address = lambda: {address!r}
print("ready", flush=True)
fetch.fetch({file!r}, Path({cache!r}), {sha256!r})
"""


def test_two_processes_fetch_one_network_at_once(server: Server, cache):
    fields = {"package": zoo.__path__[0], "address": server.address, "cache": str(cache)}
    code = CODE.format(**fields, file=FILE, sha256=zoo.entry(NAME).sha256)
    other = start("-c", code)
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    server.barrier = threading.Barrier(2)
    zoo.load(NAME)
    assert other.communicate(timeout=60) == ("", "")
    assert server.asked[FILE] == 2
    assert (cache / FILE).read_bytes() == server.files[FILE]
    assert {file.name for file in cache.iterdir()} == {MANIFEST, FILE}


def test_a_name_that_the_cache_lacks_may_be_new(server: Server, cache, tmp_path, monkeypatch):
    zoo.names()
    added(tmp_path, "newer", seed=1)
    server.files |= {file.name: file.read_bytes() for file in (tmp_path / "zoo").iterdir()}
    assert zoo.entry("newer").training == "none"
    with pytest.raises(ArgumentError, match=r"^name: expected one of newer, small-plain, got 'no'"):
        zoo.entry("no")
    monkeypatch.setattr(fetching, "address", lambda: "http://127.0.0.1:1/zoo")
    with pytest.raises(ArgumentError, match=r"^name: .* got 'newest'\. Did you mean newer\?"):
        zoo.entry("newest")


@pytest.mark.parametrize("there", ["manifest", "nothing"])
def test_without_a_network_the_complaint_says_what_to_do(there, server: Server, cache, monkeypatch):
    if there == "manifest":
        zoo.names()
    monkeypatch.setattr(fetching, "address", lambda: "http://127.0.0.1:1/zoo")
    with pytest.raises(ArgumentError, match=r"^zoo: expected .* from http://127.*by ART_SNN_ZOO"):
        zoo.load(NAME)


def installed(lines: list[str] | None):
    class Metadata:
        def get_all(self, name: str) -> list[str] | None:
            return lines

    return lambda name: Metadata()


def missing(name: str):
    raise PackageNotFoundError(name)


def test_the_address_is_that_of_the_installed_package(monkeypatch):
    lines = ["Issues, https://h/i", "Zoo, https://h/a,b"]
    monkeypatch.setattr(fetching, "metadata", installed(lines))
    assert fetching.address() == "https://h/a,b"
    for without in (installed(None), installed(lines[:1]), missing):
        monkeypatch.setattr(fetching, "metadata", without)
        with pytest.raises(ArgumentError, match=r"^zoo: expected the address of the zoo, got no"):
            fetching.address()


def test_the_cache_belongs_to_the_version():
    assert fetching.cache().parts[-2] == "zoo"
    assert "art_snn" in fetching.cache().parts
