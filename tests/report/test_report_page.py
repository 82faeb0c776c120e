import json
import shutil

import pytest
from chromium_page import CHROMIUM, ChromiumPage
from report_files import HOSTILE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: install Debian's package of that name")
DASH, MINUS = "\u2013", "\u2212"
HEADS = "[...document.querySelectorAll('#rows thead tr:last-child th button')]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    page = ChromiumPage(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


@pytest.fixture
def page(browser):
    """A page at its usual size, which must neither complain nor ask the network for anything."""
    browser.errors.clear()
    browser.requests.clear()
    browser.resize(1280, 900)
    yield browser
    assert browser.errors == []
    assert browser.requests and all(url.startswith("file://") for url in browser.requests)


@pytest.fixture(scope="module")
def with_pictures(measured_run, tmp_path_factory):
    from declouds.evaluation.results import read_run
    from declouds.report.write_report import ReportOptions, write_report

    out = tmp_path_factory.mktemp("seen") / "report"
    runs = [read_run(measured_run, "first"), read_run(measured_run, "second")]
    write_report(runs, out, ReportOptions(worst=2, device="cpu"))
    return out / "index.html"


def column(page, at):
    """The column of the table, as numbers; what is not one is None."""
    code = f"[...document.querySelectorAll('#rows tbody tr')].map(row => row.cells[{at}].textContent)"
    words = {"∞": float("inf"), DASH: None}
    return [words[text] if text in words else float(text.replace(MINUS, "-")) for text in page.js(code)]


def head(page, label):
    """The position of a column."""
    return page.js(f"{HEADS}.map(button => button.firstChild.data)").index(label)


def choose(page, selector, value):
    page.js(
        f"(select => {{ select.value = '{value}'; select.dispatchEvent(new Event('change')); }})"
        f"(document.querySelector('{selector}'))"
    )


def press(page, selector):
    page.js(f"document.querySelector({selector!r}).click()")


def test_the_table_is_sorted_by_a_click_on_any_column(figures, report, page):
    folder, content = report(figures(), "--no-pictures", "--worst", "10")
    page.open(folder / "index.html")
    psnr, blur = head(page, "PSNR"), head(page, "blur")
    assert page.js("document.querySelectorAll('#rows tbody tr').length") == 10  # the worst ten, by PSNR
    shown = column(page, psnr)
    assert shown == sorted(shown) and page.js(f"{HEADS}[{psnr}].parentNode.ariaSort") == "ascending"
    press(page, "#all")
    shown = column(page, psnr)
    assert len(shown) == 12 and shown[-1] == float("inf") and shown == sorted(shown)
    expected = sorted(
        value[0] if value[0] != "inf" else float("inf") for value in content["runs"][0]["methods"][1]["values"]
    )
    assert shown == pytest.approx(expected, abs=6e-4)
    page.js(f"{HEADS}[{blur}].click()")
    sizes = [abs(value) for value in column(page, blur)]
    assert sizes == sorted(sizes, reverse=True)  # the furthest from 0 first, of either sign
    assert page.js(f"{HEADS}[{blur}].parentNode.ariaSort") == "descending"
    assert page.js("document.activeElement.textContent").startswith("blur")  # the keyboard stays where it was
    page.js("document.activeElement.click()")
    sizes = [abs(value) for value in column(page, blur)]
    assert sizes == sorted(sizes)
    left = head(page, "cloud left")
    for _ in range(2):  # an image without a value is last, whatever the direction
        page.js(f"{HEADS}[{left}].click()")
        assert column(page, left)[-1] is None


def test_columns_and_differences_of_methods_are_chosen(figures, report, page):
    folder, _ = report(figures(), "--no-pictures")
    page.open(folder / "index.html")
    labels = "[...document.querySelectorAll('#rows thead button')].map(button => button.firstChild.data)"
    assert "MAE band 1" not in page.js(labels)
    press(page, "#groups label:last-child input")
    assert "MAE band 1" in page.js(labels)
    press(page, "#groups label:first-of-type input")
    assert "PSNR" not in page.js(labels)
    press(page, "#groups label:first-of-type input")
    choose(page, "#minus", "prior")
    assert set(column(page, head(page, "PSNR"))) <= {0.0, 1.0}  # DE - prior; infinite in both is no difference
    assert page.js("document.querySelector('#rows thead').rows[0].cells[1].textContent") == "official"


def test_the_summary_tells_means_intervals_and_differences(figures, report, page):
    folder, content = report(figures("a"), figures("b", 0.5), "--no-pictures")
    page.open(folder / "index.html")
    mean = content["runs"][0]["methods"][1]["summary"][0]
    told = page.js("document.querySelector('#verdict').textContent")
    assert (
        f"DE reaches {mean[0]:.3f}\u00a0dB [{mean[1]:.3f}, {mean[2]:.3f}] in PSNR (official), the mean of 11 images"
        in told
    )
    # 1 dB and 0.5 dB in eleven of the twelve images, nothing in the one that is perfect in both
    assert "+0.917\u00a0dB [+0.750, +1.000] against prior: better." in told
    assert "+0.458\u00a0dB [+0.375, +0.500] against a: better." in told
    assert "1 without any error" in page.js("document.querySelector('#tables .notes').textContent")
    assert page.js("document.querySelectorAll('#tables details[open] > summary').length") == 1
    assert page.js("[...document.querySelectorAll('#tables h3')].map(title => title.textContent)") == [
        "official",
        "standard",
        "signature",
    ]


def test_a_hostile_name_is_shown_and_never_run(with_pictures, page):
    page.open(with_pictures)
    assert page.js("document.title") == f"first, second {DASH} declouds report"
    assert HOSTILE in page.js("document.querySelector('#cards').textContent")
    page.js(f"view({HOSTILE!r})".replace('"', "`"))
    assert page.js("document.querySelector('#viewer-title').textContent") == f"Image {HOSTILE}"
    assert page.js("document.querySelectorAll('img[src=x]').length") == 0
    assert page.js("[...document.images].every(image => image.getAttribute('src').startsWith('images/'))")


def test_a_slider_moves_by_keyboard(with_pictures, page):
    page.open(with_pictures)
    page.js("document.querySelector('#cards input').focus()")
    at = "getComputedStyle(document.querySelector('#cards .stage')).getPropertyValue('--at')"
    assert page.js(at) == "50%"
    for _ in range(5):
        page.key("ArrowLeft", 37)
    until(page, f"{at} === '45%'")
    assert page.js("document.querySelector('#cards input').getAttribute('aria-valuetext')") == "45 % cloudy"
    page.key("End", 35)
    until(page, f"{at} === '100%'")


def until(page, condition):
    """Wait for what the page does after an event, however long it takes; the client gives up after its own time."""
    look = f"const look = () => {condition} ? done(true) : setTimeout(look, 20); look();"
    assert page.js(f"new Promise(done => {{ {look} }})")


def test_an_image_is_viewed_by_keyboard_and_by_its_address(with_pictures, page):
    page.open(with_pictures)
    page.js("document.querySelector('#rows tbody button').focus()")
    page.key("Enter", 13)
    until(page, "document.querySelector('dialog').open")
    first = page.js("document.querySelector('#viewer-title').textContent")
    assert page.js("[...document.querySelectorAll('#viewed h3')].map(title => title.textContent)") == [
        "The runs beside each other", "first: Error", "first: Weight of the prior", "first: steps of the sampling",
        "second: Error", "second: Weight of the prior", "second: steps of the sampling",
    ]  # fmt: skip
    assert page.js("document.querySelectorAll('#viewed .steps tbody img').length") == 2 * 3 * 4
    loaded = (
        "[...document.querySelectorAll('#viewed img')].map(image => {"
        " image.loading = 'eager'; return image.decode().then(() => true, () => false); })"
    )
    assert page.js(f"Promise.all({loaded}).then(all => all.every(Boolean))")  # no picture is missing
    press(page, "#next")
    until(page, f"document.querySelector('#viewer-title').textContent !== {json.dumps(first)}")
    page.key("Escape", 27)
    until(page, "!document.querySelector('dialog').open")
    page.open(with_pictures, "#image=2")
    assert page.js("document.querySelector('#viewer-title').textContent") == "Image 2"
    page.open(with_pictures, "#image=%E0%A4%A")  # no name at all
    assert not page.js("document.querySelector('dialog').open")


def test_the_run_is_switched(figures, report, page):
    folder, _ = report(figures("a"), figures("b", 0.5), "--no-pictures")
    page.open(folder / "index.html")
    psnr = head(page, "PSNR")
    before = column(page, psnr)
    choose(page, "#run", "1")
    assert column(page, psnr)[:5] == pytest.approx([value + 0.5 for value in before[:5]], abs=2e-3)


def test_one_run_needs_no_switch_and_no_pictures_need_no_cards_of_them(measured_run, report, page):
    folder, _ = report(measured_run, "--no-pictures")
    page.open(folder / "index.html")
    assert page.js("document.querySelector('#run-switch').offsetParent") is None
    assert page.js("document.images.length") == 0
    assert page.js("[...document.querySelectorAll('#curves h3')].map(title => title.textContent)") == ["coarse", "fine"]
    assert page.js("document.querySelectorAll('#curves polyline').length") == 2
    assert "20.50 at iteration 3" in page.js("document.querySelector('#curves').textContent")
    assert page.js("document.querySelectorAll('#signature-cards svg').length") == 3
    page.js("document.querySelector('#curves svg').focus()")
    page.key("ArrowLeft", 37)
    until(page, "document.querySelector('#curves .readout').textContent.includes('0.5000 at iteration 2')")


def test_light_and_dark_follow_the_system_and_the_switch(with_pictures, page):
    page.open(with_pictures)
    page.js("localStorage.clear()")
    colour = "getComputedStyle(document.body).backgroundColor"
    for scheme, expected in (("dark", "rgb(20, 24, 28)"), ("light", "rgb(255, 255, 255)")):
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.open(with_pictures)
        assert page.js(colour) == expected
    press(page, "#theme")
    assert page.js("document.querySelector('#theme').textContent") == "Theme: light"
    press(page, "#theme")
    assert page.js(colour) == "rgb(20, 24, 28)"
    page.open(with_pictures)
    assert page.js(colour) == "rgb(20, 24, 28)"  # it is kept
    page.js("localStorage.clear()")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_screen_scrolls_sideways(with_pictures, page, width):
    page.resize(width, 740)
    page.open(with_pictures)
    assert page.js("document.documentElement.scrollWidth") <= width
    page.open(with_pictures, "#image=1")
    assert page.js("document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth")


def test_the_folder_can_be_moved(with_pictures, page, tmp_path):
    shutil.copytree(with_pictures.parent, tmp_path / "else where #1")
    page.open(tmp_path / "else where #1" / "index.html")
    assert page.js("document.querySelector('#cards img').decode().then(() => true)")
