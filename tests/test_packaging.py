"""What a package index shows, what users install, and the address that everything names."""

import json
import re
import shutil
import subprocess
import sys
from email import message_from_string
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling import build
from hatchling.builders.sdist import SdistBuilder
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import art_snn

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(text_of("pyproject.toml"))["project"]
ADDRESS = PROJECT["urls"]["Repository"]
EXTRAS = PROJECT["optional-dependencies"]
SDIST = {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
PAGES = sorted(name for name in SDIST if re.fullmatch(r"(\.github/)?\w+\.md", name))
WRITTEN = sorted(name for name in SDIST if name.endswith((".md", ".py", ".cff", "yml", "yaml")))
NETWORKS = ("manifest.json", *(f"digits-{kind}.safetensors" for kind in ("at", "ibp", "plain")))
ZOO = {f"art_snn/zoo/{name}": ROOT / "examples" / "zoo" / name for name in NETWORKS}
"""What the build adds to the package: names in the wheel, and the files that it copies."""

ADDRESSES = re.compile(r"(https://[\w./-]*/art_snn)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HOME = re.compile(r"https?://[\w./-]*art[-_]snn[\w./-]*")
"""An address with the name of the project in it."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of every file of the wheel, by its name."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = build.build_wheel(str(folder))
    with ZipFile(folder / name) as archive:
        return {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, str]) -> Message:
    return message_from_string(wheel[f"art_snn-{art_snn.__version__}.dist-info/METADATA"])


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_the_repository_or_to_its_pages_of_github(page):
    links = [link.partition("#")[0] for link in LINK.findall(text_of(page)) if ":" not in link]
    pages = ("../../security/advisories/new", "../../issues/new/choose")
    files = (re.sub(r"^\.\./\.\./actions/(.*\.yml).*", r".github/\1", link) for link in links)
    folder = (ROOT / page).parent
    assert [one for one in files if one not in pages and not (folder / one).exists()] == []


def test_one_table_has_the_address_of_the_repository():
    assert {match[1] for match in ADDRESSES.finditer(text_of("pyproject.toml"))} == {ADDRESS}
    homes = {name: set(HOME.findall(text_of(name))) for name in WRITTEN}
    homes = {name: addresses for name, addresses in homes.items() if addresses}
    assert homes == {"CITATION.cff": {ADDRESS}, "README.md": {ADDRESS}}


def test_bibtex_says_what_the_citation_file_says():
    entry = re.search(r"@software\{art_snn,\n(.*?)\n\}", text_of("README.md"), re.DOTALL)[1]
    fields = dict(re.findall(r"(\w+) += \{+(.*?)\}+,?$", entry.replace("\\", ""), re.MULTILINE))
    citation = dict(re.findall(r"^(?:  - )?([\w-]+): (.+)$", text_of("CITATION.cff"), re.MULTILINE))
    assert fields.pop("author") == PROJECT["authors"][0]["name"]
    assert "  - name: The art_snn developers\n" in text_of("CITATION.cff")
    assert fields.pop("url") == citation["repository-code"] == ADDRESS
    assert fields.pop("version") == citation["version"] == art_snn.__version__
    assert fields == {"title": citation["title"]}


def test_a_package_index_shows_the_readme_with_links_to_the_repository(metadata):
    shown, text = metadata.get_payload(), text_of("README.md")
    assert LINK.sub("", shown).strip() == LINK.sub("", text).strip()
    links = {link for link in LINK.findall(shown) if not link.startswith("#")}
    assert all(link.startswith("https://") for link in links)
    assert f"{ADDRESS}/blob/main/docs/zoo.md" in links
    assert f"{ADDRESS}/raw/main/docs/_static/report_page.png" in links


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The names of all files that git tracks."""
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    # In an unpacked sdist git fails, or lists nothing.
    command = ("git", "ls-files", "-z")
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not listing.stdout:
        pytest.skip("this is no checkout of git")
    return {*listing.stdout.rstrip("\0").split("\0")}


def test_a_wheel_holds_what_git_tracks_of_the_package_and_three_networks(wheel, tracked):
    package = {name for name in tracked if name.startswith("art_snn/")}
    package.remove("art_snn/ruff.toml")  # For its authors alone.
    assert {name for name in wheel if ".dist-info/" not in name} == package | ZOO.keys()
    assert sum(file.stat().st_size for file in ZOO.values()) < 1_000_000


def test_an_sdist_holds_all_that_git_tracks(tracked):
    # The builder adds these three by itself.
    assert tracked - {".gitignore", "LICENSE", "pyproject.toml"} == SDIST


PINS = re.findall(
    r"^(spikingjelly|snntorch|norse|sinabs)==(.*)$",
    "\n".join(text_of(name) for name in sorted(SDIST) if "/environments/" in name),
    re.MULTILINE,
)


@pytest.mark.parametrize(("name", "version"), PINS)
def test_an_extra_installs_what_the_tests_run_on(name, version):
    (extra,) = map(Requirement, EXTRAS[name])
    assert extra.name == name
    assert extra.specifier.contains(version)
    assert len(PINS) == 5


def test_the_workflows_run_on_the_versions_of_python_that_are_declared():
    matrix = re.search(r"python: (\[.*\])", text_of(".github/workflows/nightly.yml"))[1]
    usual = re.search(r'python-version: "(.*)"', text_of(".github/workflows/test.yml"))[1]
    tested = {usual, *json.loads(matrix)}
    versions = [re.search(r":: (3\.\d+)$", line) for line in PROJECT["classifiers"]]
    assert tested == {version[1] for version in versions if version}
    declared = SpecifierSet(PROJECT["requires-python"])
    assert {f"3.{minor}" for minor in range(20) if f"3.{minor}" in declared} == tested


def test_the_oldest_versions_that_are_declared_run_every_night():
    oldest = re.findall(r"^(\w+)==(.*?)(?:\.\*)?$", text_of("tests/oldest.txt"), re.MULTILINE)
    assert len(oldest) == 3
    assert {f"{name}>={version}" for name, version in oldest} <= {*PROJECT["dependencies"]}
    assert "target: test-oldest" in text_of(".github/workflows/nightly.yml")
