"""The page of a report, as a browser shows it."""

import re
import shutil

import pytest
from report_files import HOSTILE

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: install Debian's package of that name")
DASH, MINUS = "\u2013", "\u2212"
HEADS = "#rows thead tr:last-child th button"
PATIENCE = 180_000  # milliseconds; a busy machine may take a minute for what takes a moment


@pytest.fixture(scope="module")
def browser():
    expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=PATIENCE)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page of the usual size, which must neither complain nor ask the network for anything."""
    context = browser.new_context(viewport=dict(width=1280, height=900), color_scheme="light")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors, requests = [], []
    page.on("console", lambda message: message.type in ("error", "warning", "assert") and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    yield page
    context.close()
    assert errors == []
    assert requests and all(url.startswith(("file://", "data:")) for url in requests)


def show(page, path, mark=""):
    """Open a page, from the beginning even where only the mark changes."""
    page.goto("about:blank")
    page.goto(path.absolute().as_uri() + mark)


@pytest.fixture(scope="module")
def with_pictures(measured_run, tmp_path_factory):
    from declouds.evaluation.results import read_run
    from declouds.report.write_report import ReportOptions, write_report

    out = tmp_path_factory.mktemp("seen") / "report"
    runs = [read_run(measured_run, "first"), read_run(measured_run, "second")]
    write_report(runs, out, ReportOptions(worst=2, device="cpu"))
    return out / "index.html"


def column(page, label):
    """The column of the table, as numbers; what is not one is None."""
    at = heads(page).index(label)
    texts = page.locator(f"#rows tbody tr td:nth-child({at + 1})").all_inner_texts()
    words = {"∞": float("inf"), DASH: None}
    return [words[text] if text in words else float(text.replace(MINUS, "-")) for text in texts]


def heads(page):
    """The labels of the columns."""
    return page.locator(HEADS).evaluate_all("buttons => buttons.map(button => button.firstChild.data)")


def head(page, label):
    """The button of a column."""
    return page.locator(HEADS).nth(heads(page).index(label))


def sort_of(page, label):
    return head(page, label).locator("..")


def test_the_table_is_sorted_by_a_click_on_any_column(figures, report, page):
    folder, content = report(figures(), "--no-pictures", "--worst", "10")
    show(page, folder / "index.html")
    rows = page.locator("#rows tbody tr")
    expect(rows).to_have_count(10)  # the worst ten, by PSNR
    shown = column(page, "PSNR")
    assert shown == sorted(shown)
    expect(sort_of(page, "PSNR")).to_have_attribute("aria-sort", "ascending")
    page.locator("#all").click()
    expect(rows).to_have_count(12)
    shown = column(page, "PSNR")
    assert shown[-1] == float("inf") and shown == sorted(shown)
    expected = sorted(
        value[0] if value[0] != "inf" else float("inf") for value in content["runs"][0]["methods"][1]["values"]
    )
    assert shown == pytest.approx(expected, abs=6e-4)
    head(page, "blur").click()
    expect(sort_of(page, "blur")).to_have_attribute("aria-sort", "descending")
    sizes = [abs(value) for value in column(page, "blur")]
    assert sizes == sorted(sizes, reverse=True)  # the furthest from 0 first, of either sign
    expect(head(page, "blur")).to_be_focused()  # the keyboard stays where it was
    page.keyboard.press("Enter")
    expect(sort_of(page, "blur")).to_have_attribute("aria-sort", "ascending")
    sizes = [abs(value) for value in column(page, "blur")]
    assert sizes == sorted(sizes)
    for direction in ("descending", "ascending"):  # an image without a value is last, whatever the direction
        head(page, "cloud left").click()
        expect(sort_of(page, "cloud left")).to_have_attribute("aria-sort", direction)
        assert column(page, "cloud left")[-1] is None


def test_columns_and_differences_of_methods_are_chosen(figures, report, page):
    folder, _ = report(figures(), "--no-pictures")
    show(page, folder / "index.html")
    assert "MAE band 1" not in heads(page)
    page.locator("#groups label:last-child input").click()
    expect(page.locator(HEADS, has_text="MAE band 1")).to_be_visible()
    official = page.locator("#groups label:first-of-type input")
    official.click()
    expect(page.locator(HEADS).filter(has_text=re.compile("^PSNR[^ ]?$"))).to_have_count(0)
    assert "PSNR" not in heads(page)
    official.click()
    page.locator("#minus").select_option("prior")
    expect(page.locator("#rows thead tr").first.locator("th, td").nth(1)).to_have_text("official")
    assert set(column(page, "PSNR")) <= {0.0, 1.0}  # DE - prior; infinite in both is no difference


def test_the_summary_tells_means_intervals_and_differences(figures, report, page):
    folder, content = report(figures("a"), figures("b", 0.5), "--no-pictures")
    show(page, folder / "index.html")
    mean = content["runs"][0]["methods"][1]["summary"][0]
    verdict = page.locator("#verdict").evaluate("element => element.textContent")
    assert (
        f"DE reaches {mean[0]:.3f}\u00a0dB [{mean[1]:.3f}, {mean[2]:.3f}] in PSNR (official), the mean of 11 images"
        in verdict
    )
    # 1 dB and 0.5 dB in eleven of the twelve images, nothing in the one that is perfect in both
    assert "+0.917\u00a0dB [+0.750, +1.000] against prior: better." in verdict
    assert "+0.458\u00a0dB [+0.375, +0.500] against a: better." in verdict
    expect(page.locator("#tables .notes").first).to_contain_text("1 without any error")
    expect(page.locator("#tables details[open] > summary")).to_have_count(1)
    assert page.locator("#tables h3").evaluate_all("titles => titles.map(title => title.textContent)") == [
        "official",
        "standard",
        "signature",
    ]


def test_a_hostile_name_is_shown_and_never_run(with_pictures, page):
    show(page, with_pictures)
    expect(page).to_have_title(f"first, second {DASH} declouds report")
    expect(page.locator("#cards")).to_contain_text(HOSTILE)
    page.locator("#rows tbody button", has_text=HOSTILE).click()
    expect(page.locator("#viewer-title")).to_have_text(f"Image {HOSTILE}")
    expect(page.locator("img[src=x]")).to_have_count(0)
    assert page.evaluate("[...document.images].every(image => image.getAttribute('src').startsWith('images/'))")


def test_a_slider_moves_by_keyboard(with_pictures, page):
    show(page, with_pictures)
    slider, stage = page.locator("#cards input").first, page.locator("#cards .stage").first
    slider.focus()
    expect(stage).to_have_css("--at", "50%")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(stage).to_have_css("--at", "45%")
    expect(slider).to_have_attribute("aria-valuetext", "45 % cloudy")
    page.keyboard.press("End")
    expect(stage).to_have_css("--at", "100%")


def test_an_image_is_viewed_by_keyboard_and_by_its_address(with_pictures, page):
    show(page, with_pictures)
    dialog, title = page.locator("dialog"), page.locator("#viewer-title")
    page.locator("#rows tbody button").first.focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    first = title.inner_text()
    assert page.locator("#viewed h3").evaluate_all("titles => titles.map(title => title.textContent)") == [
        "The runs beside each other", "first: Error", "first: Weight of the prior", "first: steps of the sampling",
        "second: Error", "second: Weight of the prior", "second: steps of the sampling",
    ]  # fmt: skip
    expect(page.locator("#viewed .steps tbody img")).to_have_count(2 * 3 * 4)
    assert all_decode(page, "#viewed img")
    page.locator("#next").click()
    expect(title).not_to_have_text(first)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    show(page, with_pictures, "#image=2")
    expect(title).to_have_text("Image 2")
    show(page, with_pictures, "#image=%E0%A4%A")  # no name at all
    expect(page.locator("#rows tbody button").first).to_be_visible()
    expect(dialog).to_be_hidden()


def all_decode(page, selector):
    """Tell whether no picture is missing or damaged."""
    return page.locator(selector).evaluate_all(
        "images => Promise.all(images.map(image => { image.loading = 'eager';"
        " return image.decode().then(() => true, () => false); })).then(all => all.length > 0 && all.every(Boolean))"
    )


def test_the_run_is_switched(figures, report, page):
    folder, _ = report(figures("a"), figures("b", 0.5), "--no-pictures")
    show(page, folder / "index.html")
    before = column(page, "PSNR")
    page.locator("#run").select_option("1")
    expect(page.locator("#rows tbody tr").first).to_contain_text(f"{before[0] + 0.5:.3f}"[:-1])
    assert column(page, "PSNR")[:5] == pytest.approx([value + 0.5 for value in before[:5]], abs=2e-3)


def test_one_run_needs_no_switch_and_no_pictures_need_no_cards_of_them(measured_run, report, page):
    folder, _ = report(measured_run, "--no-pictures")
    show(page, folder / "index.html")
    expect(page.locator("#run-switch")).to_be_hidden()
    expect(page.locator("img")).to_have_count(0)
    curves = page.locator("#curves")
    assert curves.locator("h3").evaluate_all("titles => titles.map(title => title.textContent)") == ["coarse", "fine"]
    expect(curves.locator("polyline")).to_have_count(2)
    expect(curves).to_contain_text("20.50 at iteration 3")
    expect(page.locator("#signature-cards svg")).to_have_count(3)
    curves.locator("svg").first.focus()
    page.keyboard.press("ArrowLeft")
    expect(curves.locator(".readout").first).to_contain_text("0.5000 at iteration 2")


def test_light_and_dark_follow_the_system_and_the_switch(with_pictures, page):
    body, theme = page.locator("body"), page.locator("#theme")
    dark, light = "rgb(20, 24, 28)", "rgb(255, 255, 255)"
    for scheme, expected in (("dark", dark), ("light", light)):
        page.emulate_media(color_scheme=scheme)
        show(page, with_pictures)
        expect(body).to_have_css("background-color", expected)
    theme.click()
    expect(theme).to_have_text("Theme: light")
    theme.click()
    expect(body).to_have_css("background-color", dark)
    show(page, with_pictures)
    expect(body).to_have_css("background-color", dark)  # it is kept


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_screen_scrolls_sideways(with_pictures, page, width):
    page.set_viewport_size(dict(width=width, height=740))
    show(page, with_pictures)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    show(page, with_pictures, "#image=1")
    dialog = page.locator("dialog")
    expect(dialog).to_be_visible()
    assert dialog.evaluate("element => element.scrollWidth <= element.clientWidth")


def test_the_folder_can_be_moved(with_pictures, page, tmp_path):
    shutil.copytree(with_pictures.parent, tmp_path / "else where #1")
    show(page, tmp_path / "else where #1" / "index.html")
    assert all_decode(page, "#cards img")
