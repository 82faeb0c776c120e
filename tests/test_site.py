"""The documentation site: built strictly, complete, whole in itself, and without a request to any other address."""

import argparse
import json
import re
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from playwright.sync_api import expect

from declouds.cli import build_parser
from declouds.registry import MODELS, REGISTRIES
from declouds.training.config_keys import KEYS, KEYS_OF_A_PART
from declouds.training.stage import Stage

ROOT = Path(__file__).resolve().parents[1]
FETCHED = dict(script=["src"], img=["src", "srcset"], iframe=["src"], source=["src", "srcset"], link=["href"])


class Page(HTMLParser):
    """What a page links to and asks for, its anchors, and its text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.asks_for, self.anchors, self.text = [], [], set(), ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        self.links += [given["href"]] if tag == "a" and given.get("href") else []
        self.asks_for += [given[name] for name in FETCHED.get(tag, ()) if given.get(name)]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site; a warning of any kind fails the build."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    config = load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder))
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


def test_no_page_asks_another_address_for_anything(site, pages):
    assert len(pages) > 40
    for name, page in pages.items():
        assert page.asks_for, name
        outside = [address for address in page.asks_for if re.match(r"([a-z]+:)?//", address)]
        assert not outside, f"{name} asks for {outside}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)[\s\"']*(https?:)?//", sheet.read_text()), sheet


def test_every_link_picture_and_anchor_is_there(site, pages):
    checked = 0
    for name, page in pages.items():
        if name == "404.html":  # its links start at the root of a server
            continue
        for address in page.links + page.asks_for:
            parts = urlsplit(address)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            goal = (site / name).parent.joinpath(unquote(parts.path)).resolve() if parts.path else site / name
            assert goal.exists(), f"{name}: {address} leads nowhere"
            if parts.fragment and goal.suffix == ".html":
                there = pages[goal.relative_to(site.resolve()).as_posix() if parts.path else name]
                assert unquote(parts.fragment) in there.anchors, f"{name}: {address}: no such heading"
                checked += 1
    assert checked > 500


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def test_every_command_key_and_part_has_its_place(pages):
    commands, keys = pages["commands.html"], pages["config_keys.html"].text
    _, *below = parsers(build_parser())
    assert len(below) > 20
    for parser in below:
        assert parser.prog.replace(" ", "-") in commands.anchors
        for action in parser._actions:
            assert all(flag in commands.text for flag in action.option_strings if flag not in ("-h", "--help"))
    for key in [*KEYS, *KEYS_OF_A_PART, *(entry.name for entry in fields(Stage) if entry.name != "options")]:
        assert re.search(rf"\b{key}\b", keys), key
    for registry in REGISTRIES:
        page = pages[f"part_{registry.name}.html"]
        for name, part in registry.parts().items():
            if part.__module__.startswith("declouds."):  # not those of other tests
                assert f"{part.__module__}.{name}" in page.anchors, name
        assert f"declouds new {registry.name} my_{registry.name}" in page.text
        assert registry is MODELS or "Call: " in page.text


def test_the_search_finds_words_without_a_server(site, open_page):
    entries = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    assert any("WeightAllocation" in entry["text"] for entry in entries)
    page = open_page(site / "index.html")
    page.locator("input[name=query]").click()
    expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")  # the index is there
    page.keyboard.type("calibration")
    page.locator(".md-search-result__link").first.wait_for()
    assert "evaluation.html" in page.locator(".md-search-result__list").inner_html()
