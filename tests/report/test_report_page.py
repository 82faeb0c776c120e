import json
import shutil

import pytest
from playwright.sync_api import expect
from report_files import HOSTILE

DASH, MINUS = "\u2013", "\u2212"


@pytest.fixture(scope="module")
def with_pictures(measured_run, tmp_path_factory):
    from declouds.evaluation.results import read_run
    from declouds.report.write_report import ReportOptions, write_report

    out = tmp_path_factory.mktemp("seen") / "report"
    runs = [read_run(measured_run, "first"), read_run(measured_run, "second")]
    write_report(runs, out, ReportOptions(worst=2, device="cpu"))
    return out / "index.html"


def head(page, label):
    return page.locator("#rows").get_by_role("columnheader", name=label, exact=True)


def column(page, label):
    """The values of a column of the table; what is not a number is None."""
    place = head(page, label).evaluate("cell => cell.cellIndex") + 1
    texts = page.locator(f"#rows tbody td:nth-child({place})").all_text_contents()
    words = {"∞": float("inf"), DASH: None}
    return [words[text] if text in words else float(text.replace(MINUS, "-")) for text in texts]


def test_the_table_is_sorted_by_a_click_on_any_column(figures, report, open_page):
    folder, content = report(figures(), "--no-pictures", "--worst", "10")
    page = open_page(folder / "index.html")
    rows, blur = page.locator("#rows tbody tr"), head(page, "blur")
    expect(rows).to_have_count(10)  # the worst ten, by PSNR
    expect(head(page, "PSNR")).to_have_attribute("aria-sort", "ascending")
    shown = column(page, "PSNR")
    assert shown == sorted(shown)
    page.get_by_role("button", name="Show all 12 images").click()
    expect(rows).to_have_count(12)
    shown = column(page, "PSNR")
    assert shown[-1] == float("inf") and shown == sorted(shown)
    expected = sorted(
        value[0] if value[0] != "inf" else float("inf") for value in content["runs"][0]["methods"][1]["values"]
    )
    assert shown == pytest.approx(expected, abs=6e-4)
    blur.click()
    expect(blur).to_have_attribute("aria-sort", "descending")
    sizes = [abs(value) for value in column(page, "blur")]
    assert sizes == sorted(sizes, reverse=True)  # the furthest from 0 first, of either sign
    expect(blur.get_by_role("button")).to_be_focused()  # the keyboard stays where it was
    page.keyboard.press("Enter")
    expect(blur).to_have_attribute("aria-sort", "ascending")
    sizes = [abs(value) for value in column(page, "blur")]
    assert sizes == sorted(sizes)
    left = head(page, "cloud left")
    for direction in ("descending", "ascending"):  # an image without a value is last, whatever the direction
        left.click()
        expect(left).to_have_attribute("aria-sort", direction)
        assert column(page, "cloud left")[-1] is None


def test_columns_and_differences_of_methods_are_chosen(figures, report, open_page):
    folder, _ = report(figures(), "--no-pictures")
    page = open_page(folder / "index.html")
    official = page.get_by_role("checkbox", name="official")
    expect(head(page, "MAE band 1")).to_have_count(0)
    page.get_by_role("checkbox", name="per band, pixels").check()
    expect(head(page, "MAE band 1")).to_be_visible()
    official.uncheck()
    expect(head(page, "PSNR")).to_have_count(0)
    official.check()
    page.locator("#minus").select_option("prior")
    expect(page.locator("#order")).to_contain_text(f"DE {MINUS} prior")
    assert set(column(page, "PSNR")) <= {0.0, 1.0}  # DE - prior; infinite in both is no difference
    expect(page.locator("#rows .groups th").first).to_have_text("official")


def test_the_summary_tells_means_intervals_and_differences(figures, report, open_page):
    folder, content = report(figures("a"), figures("b", 0.5), "--no-pictures")
    page = open_page(folder / "index.html")
    mean = content["runs"][0]["methods"][1]["summary"][0]
    verdict = page.locator("#verdict").text_content()
    assert (
        f"DE reaches {mean[0]:.3f}\u00a0dB [{mean[1]:.3f}, {mean[2]:.3f}] in PSNR (official), the mean of 11 images"
        in verdict
    )
    # 1 dB and 0.5 dB in eleven of the twelve images, nothing in the one that is perfect in both
    assert "+0.917\u00a0dB [+0.750, +1.000] against prior: better." in verdict
    assert "+0.458\u00a0dB [+0.375, +0.500] against a: better." in verdict
    expect(page.locator("#tables .notes").first).to_contain_text("1 without any error")
    expect(page.locator("#tables details[open] > summary")).to_have_count(1)
    expect(page.locator("#tables h3")).to_have_text(["official", "standard", "signature"])


def test_a_hostile_name_is_shown_and_never_run(with_pictures, open_page):
    page = open_page(with_pictures)
    expect(page).to_have_title(f"first, second {DASH} declouds report")
    expect(page.locator("#cards")).to_contain_text(HOSTILE)
    page.locator("#cards").get_by_role("button", name=HOSTILE).click()
    expect(page.locator("#viewer-title")).to_have_text(f"Image {HOSTILE}")
    expect(page.locator("img[src=x]")).to_have_count(0)
    sources = page.locator("img").evaluate_all("images => images.map(image => image.getAttribute('src'))")
    assert sources and all(source.startswith("images/") for source in sources)
    expect(page).to_have_title(f"first, second {DASH} declouds report")


def test_a_slider_moves_by_keyboard_and_by_mouse(with_pictures, open_page):
    page = open_page(with_pictures)
    stage, slider = page.locator("#cards .stage").first, page.locator("#cards input").first
    expect(stage).to_have_css("--at", "50%")
    for _ in range(5):
        slider.press("ArrowLeft")
    expect(stage).to_have_css("--at", "45%")
    expect(slider).to_have_attribute("aria-valuetext", "45 % cloudy")
    slider.press("End")
    expect(stage).to_have_css("--at", "100%")
    middle = stage.bounding_box()["width"] / 2
    stage.click(position={"x": middle, "y": 20})
    expect(slider).to_have_value("50")
    stage.drag_to(stage, source_position={"x": middle, "y": 20}, target_position={"x": 0.5, "y": 20})
    expect(slider).to_have_value("0")


def test_an_image_is_viewed_by_keyboard_and_by_its_address(with_pictures, open_page):
    page = open_page(with_pictures)
    viewer, title = page.locator("#viewer"), page.locator("#viewer-title")
    page.locator("#rows tbody button").first.press("Enter")
    expect(viewer).to_be_visible()
    first = title.text_content()
    expect(page.locator("#viewed h3")).to_have_text([
        "The runs beside each other", "first: Error", "first: Weight of the prior", "first: steps of the sampling",
        "second: Error", "second: Weight of the prior", "second: steps of the sampling",
    ])  # fmt: skip
    expect(page.locator("#viewed .steps tbody img")).to_have_count(2 * 3 * 4)
    page.locator("#viewed img").evaluate_all(  # fails where an image is missing
        "images => Promise.all(images.map(image => { image.loading = 'eager'; return image.decode(); }))"
    )
    page.get_by_role("button", name="Next image").click()
    expect(title).not_to_have_text(first)
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    page = open_page(with_pictures, "#image=2")
    expect(page.locator("#viewer-title")).to_have_text("Image 2")
    page = open_page(with_pictures, "#image=%E0%A4%A")  # no name at all
    expect(page.locator("#rows")).to_be_visible()
    expect(page.locator("#viewer")).to_be_hidden()


def test_the_run_is_switched(figures, report, open_page):
    folder, _ = report(figures("a"), figures("b", 0.5), "--no-pictures")
    page = open_page(folder / "index.html")
    before = column(page, "PSNR")
    page.locator("#run").select_option("1")
    expect(page.locator("#facts")).to_contain_text(str(folder.parent / "b"))
    assert column(page, "PSNR")[:5] == pytest.approx([value + 0.5 for value in before[:5]], abs=2e-3)


def test_one_run_needs_no_switch_and_no_pictures_need_no_cards_of_them(measured_run, report, open_page):
    folder, _ = report(measured_run, "--no-pictures")
    page = open_page(folder / "index.html")
    curves = page.locator("#curves")
    expect(curves.locator("h3")).to_have_text(["coarse", "fine"])
    expect(page.locator("#run-switch")).to_be_hidden()
    expect(page.locator("img")).to_have_count(0)
    expect(curves.locator("polyline")).to_have_count(2)
    expect(curves).to_contain_text("20.50 at iteration 3")
    expect(page.locator("#signature-cards svg")).to_have_count(3)
    curves.locator("svg").first.press("ArrowLeft")
    expect(curves.locator(".readout").first).to_contain_text("0.5000 at iteration 2")


def test_light_and_dark_follow_the_system_and_the_switch(with_pictures, open_page):
    page = open_page(with_pictures)
    body, theme, dark = page.locator("body"), page.locator("#theme"), "rgb(20, 24, 28)"
    for scheme, expected in (("dark", dark), ("light", "rgb(255, 255, 255)")):
        page.emulate_media(color_scheme=scheme)
        page.reload()
        expect(body).to_have_css("background-color", expected)
    theme.click()
    expect(theme).to_have_text("Theme: light")
    theme.click()
    expect(body).to_have_css("background-color", dark)
    page.reload()
    expect(theme).to_have_text("Theme: dark")  # it is kept
    expect(body).to_have_css("background-color", dark)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_screen_scrolls_sideways(with_pictures, open_page, width):
    page = open_page(with_pictures, width=width, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    names = page.locator("#rows tbody th")  # a long one covers no figure
    assert all(names.evaluate_all("cells => cells.map(cell => cell.scrollWidth <= cell.clientWidth)"))
    viewer = open_page(with_pictures, "#image=1", width=width, height=740).locator("#viewer")
    expect(viewer).to_be_visible()
    assert viewer.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


def test_the_folder_can_be_moved(with_pictures, open_page, tmp_path):
    shutil.copytree(with_pictures.parent, tmp_path / "else where #1")
    page = open_page(tmp_path / "else where #1" / "index.html")
    assert page.locator("#cards img").first.evaluate("image => image.decode().then(() => true)")


def test_results_with_samples_show_whether_the_spread_tells_the_error(figures, report, open_page):
    plain, other = figures("plain"), figures("sampled")
    content = json.loads((other / "results.json").read_text())
    curve = [
        {"from": at / 10, "to": (at + 1) / 10, "pixels": 100, "spread": at / 50, "calibrated": at / 40, "rmse": at / 40}
        for at in range(10)
    ]
    content["samples"] = dict(count=8, interval="", calibration=None, by_spread=curve, by_thickness=curve)
    (other / "results.json").write_text(json.dumps(content))
    folder, _ = report(plain, other, "--no-pictures")
    page = open_page(folder / "index.html")
    expect(page.locator("#reliability")).to_be_hidden()
    expect(page.locator("#to-reliability")).to_be_hidden()
    page.locator("#run").select_option("1")
    expect(page.locator("#reliability-told")).to_contain_text("8 samples of every image")
    expect(page.locator("#reliability-cards .card")).to_have_count(2)
    expect(page.locator("#reliability-cards polyline")).to_have_count(2 + 3)
    expect(page.locator("#reliability-cards circle")).to_have_count(10 * 5)
    label = page.locator("#reliability-cards svg").first.get_attribute("aria-label")
    assert "by the calibration: 0 to 0, 1.25 to 1.25" in label and "by the samples: 0 to 0, 1 to 1.25" in label
