"""Files that are not there are fetched from one address: whole or not at all."""

from __future__ import annotations

import errno
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pooch
import pytest
import torch

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
    """An empty cache, the only place on this machine that is looked into."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(networks, "_folder", lambda: (folder, True))
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def server(tmp_path, cache, monkeypatch):
    """A zoo of one network, at the address."""
    added(tmp_path)
    with serving({file.name: file.read_bytes() for file in (tmp_path / "zoo").iterdir()}) as it:
        monkeypatch.setattr(networks, "_address", lambda: it.address)
        yield it


def test_a_network_is_fetched_once_and_found_in_the_cache_without_a_connection(
    server: Server, cache, monkeypatch
):
    assert zoo.names() == [NAME]
    network, (x, _) = zoo.load(NAME), zoo.samples("pictures")
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == server.files
    monkeypatch.setattr(networks, "_address", lambda: NOWHERE)
    again = zoo.load(NAME)
    with torch.no_grad():
        assert torch.equal(network(torch.as_tensor(x)), again(torch.as_tensor(x)))
    assert set(server.asked.values()) == {1}


@pytest.mark.parametrize("file", [MANIFEST, FILE])
def test_a_connection_that_breaks_is_tried_again_once_and_leaves_nothing(
    file, server: Server, cache
):
    if file == FILE:
        zoo.names()
    before = [*cache.glob("*")]
    server.cut = 2
    with pytest.raises(ArgumentError, match=rf"^zoo: expected {file} from http.* by ART_SNN_ZOO"):
        zoo.load(NAME)
    assert [*cache.glob("*")] == before
    server.cut = 1
    zoo.load(NAME)
    assert server.asked[file] == 4


@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"schema": 1}'])
def test_what_is_no_manifest_is_not_kept(content, server: Server, cache):
    whole, server.files[MANIFEST] = server.files[MANIFEST], content
    message = r"^zoo: expected a manifest of the zoo, of schema 2, got manifest\.json from http"
    with pytest.raises(ArgumentError, match=message):
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

    monkeypatch.setattr("pooch.core.shutil.move", full)
    with pytest.raises(WriteFailed, match=rf"{FILE} could not be written \(No space left"):
        zoo.load(NAME)
    assert [file.name for file in cache.iterdir()] == [MANIFEST]


def test_without_a_connection_the_complaint_says_what_to_do(server: Server, monkeypatch):
    monkeypatch.setattr(networks, "_address", lambda: NOWHERE)
    with pytest.raises(ArgumentError, match=r"^zoo: expected .* from http://127.*by ART_SNN_ZOO"):
        zoo.load(NAME)


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["Issues, https://h/i", "Zoo, https://h/a,b"], "https://h/a,b"),
        (["Zoo, https://github.com/OWNER/project/raw/main/zoo"], None),
        (["Issues, https://h/i"], None),
        ([], None),
        (None, None),
    ],
)
def test_the_address_is_that_of_the_installed_package_and_no_placeholder(
    lines, address, monkeypatch
):
    class Metadata:
        def get_all(self, name: str) -> list[str] | None:
            return lines or None

    def metadata(name: str) -> Metadata:
        if lines is None:
            raise PackageNotFoundError(name)
        return Metadata()

    monkeypatch.setattr(networks, "metadata", metadata)
    if address is not None:
        assert networks._address() == address
        return
    message = r"^zoo: expected the address of the zoo, got .* no address of ours\. Name the folder"
    with pytest.raises(ArgumentError, match=message):
        networks._address()


def test_nothing_is_fetched_from_a_placeholder(cache, monkeypatch):
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("it was asked for")

    class Metadata:
        def get_all(self, name: str) -> list[str]:
            return ["Zoo, https://github.com/OWNER/project/raw/main/zoo"]

    monkeypatch.setattr(networks, "metadata", lambda name: Metadata())
    monkeypatch.setattr(pooch, "create", forbidden)
    with pytest.raises(ArgumentError, match=r"got https://github.com/OWNER/.* no address of ours"):
        zoo.names()


def test_the_cache_belongs_to_the_version(monkeypatch, tmp_path):
    monkeypatch.delenv(networks.VARIABLE, raising=False)
    monkeypatch.setattr("art_snn.__path__", [str(tmp_path / "site" / "art_snn")])
    folder, cached = networks._folder()
    assert (cached, folder.parts[-2]) == (True, "zoo")
    assert "art_snn" in folder.parts
