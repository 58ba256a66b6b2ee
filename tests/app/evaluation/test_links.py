"""Addresses of the documentation that a page refers to."""

from email.message import Message
from importlib.metadata import PackageNotFoundError

import pytest

from art_snn.app.report.evaluation import page


@pytest.mark.parametrize(
    ("urls", "address"),
    [
        (["Documentation, https://a.example/docs/", "Issues, https://b.example"], "docs"),
        (["Issues, https://b.example"], ""),
        ([f"Documentation, https://a.example{page.UNKNOWN}art_snn"], ""),
        (None, ""),
    ],
)
def test_the_address_is_the_one_of_the_package_and_none_while_nobody_filled_it_in(
    urls, address, monkeypatch
):
    def metadata(name: str) -> Message:
        if urls is None:
            raise PackageNotFoundError(name)
        message = Message()
        for url in urls:
            message["Project-URL"] = url
        return message

    monkeypatch.setattr(page, "metadata", metadata)
    assert page.documentation() == (address and "https://a.example/docs/")


@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("https://a.example/blob/HEAD/docs/index.md", "https://a.example/blob/HEAD/docs/rules.md"),
        ("https://a.example/en/latest/", "https://a.example/en/latest/rules.html"),
        ("https://a.example/en/latest", "https://a.example/en/latest/rules.html"),
        ("https://a.example/index.html", "https://a.example/rules.html"),
    ],
)
def test_other_pages_lie_next_to_the_first_one(address, other):
    assert page.page_address(address, "rules") == other
