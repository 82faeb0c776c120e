import csv
import io
import json
import math
import re

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import wilcoxon

from declouds.errors import UserError
from declouds.evaluation.results import RunResults, find_results, read_run
from declouds.evaluation.statistics import holm, signed_rank, summarise
from declouds.evaluation.tables import Evaluation, print_tables, write_evaluation
from declouds.report.comparison import compare_runs
from declouds.report.comparison_output import (
    FILES,
    print_comparison,
    text_notes,
    text_tables,
    to_csv,
    to_latex,
    to_markdown,
    write_comparison,
)

PSNR = "official.psnr"


def rows(values, metric=PSNR, **facts):
    facts = {f"image.{key}": found for key, found in facts.items()}
    return [
        {"name": f"i{index}", metric: value, **{key: found[index] for key, found in facts.items()}}
        for index, value in enumerate(values)
    ]


def run(label, values, split=None, protocols=None, **facts):
    from pathlib import Path

    return RunResults(
        label,
        Path(label, "results.json"),
        {"DE": rows(values, **facts)},
        protocols or {"official": "8-bit"},
        split or {},
    )


@pytest.fixture
def noisy():
    random = np.random.default_rng(0)
    base = random.normal(25, 3, 20)
    return base, base + random.normal(0.3, 0.5, 20)


def test_difference_and_p_are_scipys_whatever_the_order_of_the_rows(noisy):
    a, b = noisy
    found = compare_runs([("a", rows(a)), ("b", rows(b)[::-1])])
    cell = found.at("b", PSNR)
    assert cell.estimate == summarise(rows(b))[PSNR]
    assert cell.difference.estimate.mean == pytest.approx((b - a).mean())
    assert cell.difference.estimate.low < (b - a).mean() < cell.difference.estimate.high
    assert cell.difference.p == cell.difference.p_holm == wilcoxon(b, a).pvalue
    assert found.at("a", PSNR).difference is None
    turned = compare_runs([("a", rows(a)), ("b", rows(b))], baseline="b").at("a", PSNR).difference
    assert (turned.estimate.mean, turned.p) == (pytest.approx((a - b).mean()), wilcoxon(b, a).pvalue)


def test_signed_rank_by_hand():
    # Ranks 1 ... 6, only the smallest difference is negative: 2 of the 2^6 sign patterns have a rank sum of at most 1
    # on the negative side, as many on the positive one.
    assert signed_rank(np.array([-0.1, 0.2, 0.3, 0.4, 0.5, 0.6])).p == pytest.approx(4 / 64)
    assert signed_rank(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])).p == pytest.approx(2 / 64)
    assert signed_rank(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0, 0, math.inf, math.nan])).p == pytest.approx(2 / 64)


@pytest.mark.parametrize(
    ("differences", "reason"),
    [([0.0] * 8, "all images are equal"), ([1.0] * 5 + [0.0], "fewer than 6"), ([math.nan, math.inf], "no image")],
)
def test_where_there_is_no_test_there_is_a_reason(differences, reason):
    found = signed_rank(np.array(differences))
    assert math.isnan(found.p) and reason in found.reason


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, math.nan]) == pytest.approx([0.03, 0.06, 0.06, math.nan], nan_ok=True)
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_is_corrected_over_runs_and_metrics_and_apart_for_bins(noisy):
    a, b = noisy
    cover = np.repeat([0.05, 0.9], 10)
    runs = [("a", rows(a, cover=cover)), ("b", rows(b, cover=cover)), ("c", rows(b + 0.1, cover=cover))]
    found = compare_runs(runs)
    differences = [found.at(label, PSNR).difference for label in "bc"]
    assert [part.p_holm for part in differences] == holm([part.p for part in differences])
    bins = [found.at(label, PSNR, part.name).difference for part in found.bins[1:] for label in "bc"]
    assert len(bins) == 4 and [part.p_holm for part in bins] == holm([part.p for part in bins])


def test_bins_of_cloud_cover():
    cover = [0, 0.0999, 0.1, 0.3, 0.31, 0.6, 1.0, math.nan]
    found = compare_runs(
        [("a", rows(range(8), cover=cover)), ("b", rows([value + 1 for value in range(8)], cover=cover))]
    )
    assert [(part.name, part.images) for part in found.bins] == [
        ("all images", 8),
        ("cover 0-10%", 2),
        ("cover 10-30%", 1),
        ("cover 30-60%", 2),
        ("cover 60-100%", 2),
    ]
    assert found.at("b", PSNR, "cover 60-100%").estimate.mean == 6.5  # images 5 and 6, plus 1
    assert found.at("b", PSNR, "cover 30-60%").difference.estimate.mean == 1
    notes = " ".join(found.notes)
    assert "1 images are in no bin" in notes
    assert "so few images means little: cover 0-10% (2), cover 10-30% (1)" in notes


def test_without_masks_images_are_sorted_into_thirds_by_change():
    nothing, change = [math.nan] * 9, [0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    found = compare_runs([(label, rows(range(9), cover=nothing, change=change)) for label in "ab"])
    assert [part.images for part in found.bins] == [9, 3, 3, 3]
    assert "change most third" in found.bins[3].name and found.bins[3].fact == "image.change"
    assert found.at("a", PSNR, found.bins[1].name).estimate.mean == 2  # images 1, 2, 3
    assert any("no cloud masks" in note for note in found.notes)
    assert [part.name for part in compare_runs([(label, rows(range(9))) for label in "ab"]).bins] == ["all images"]


def test_seeds_are_averaged_image_by_image_and_their_spread_is_told():
    seeds = [rows([20.0, 30.0]), rows([22.0, 32.0]), rows([24.0, 34.0])[::-1]]
    found = compare_runs([("a", rows([20.0, 29.0])), ("b", seeds)])
    cell = found.at("b", PSNR)
    assert (cell.estimate.mean, cell.seeds, cell.spread) == (27, 3, pytest.approx(2))  # means 25, 27, 29
    assert cell.difference.estimate.mean == pytest.approx(2.5)
    assert math.isnan(found.at("a", PSNR).spread)
    notes = " ".join(found.notes)
    assert "averaged over seeds: b (3)" in notes and "One training each: a." in notes
    assert "27.000 ± 2.000 [" in to_markdown(found)
    as_runs = compare_runs(
        [run("a", [20.0, 29.0]), ("b", [run(f"s{n}", part) for n, part in enumerate([[20, 30], [22, 32]])])]
    )
    assert as_runs.at("b", PSNR).estimate.mean == 26


def test_values_without_a_mean_are_told(noisy):
    a, b = ([*values, math.inf, math.nan] for values in noisy)
    b[0] = math.inf
    found = compare_runs([("a", rows(a)), ("b", rows(b))])
    difference = found.at("b", PSNR).difference
    assert (difference.estimate.images, difference.estimate.infinite, difference.estimate.missing) == (20, 1, 1)
    notes = " ".join(found.notes)
    assert "b, official.psnr: 2 images equal to the clear one" in notes and "not defined for 1 images" in notes


def test_a_signature_is_compared_by_size():
    found = compare_runs(
        [("a", rows([-0.2, 0.2], "signature.blur")), ("b", rows([0.1, -0.3], "signature.blur"))],
        metrics=["signature.blur"],
    )
    cell = found.at("b", "signature.blur")
    assert (cell.estimate.mean, cell.difference.estimate.mean) == (pytest.approx(-0.1), pytest.approx(0))
    assert any("difference is that of sizes" in note for note in found.notes)


def test_the_usual_metrics_are_those_that_all_have():
    def both(**more):
        keys = {f"official.{key}": 1.0 for key in ("ssim", "psnr", "lpips")}
        return [{"name": "x", **keys, "standard.psnr": 1.0, "image.cover": 0.2, **more}]

    without = [{"name": "x", PSNR: 1.0, "official.ssim": 1.0}]
    assert compare_runs([("a", both()), ("b", both())]).metrics == (PSNR, "official.ssim", "official.lpips")
    assert compare_runs([("a", both()), ("b", without)]).metrics == (PSNR, "official.ssim")
    apart = {"standard.psnr.cloudy_pixels": 3.0, "standard.psnr.clear_pixels": math.nan}
    found = compare_runs([("a", both(**apart)), ("b", both(**apart))])
    assert found.metrics[3:] == ("standard.psnr.cloudy_pixels",)
    only = rows([1.0], "standard.psnr")
    assert compare_runs([("a", only), ("b", only)]).metrics == ("standard.psnr",)
    with pytest.raises(UserError, match=r"share none of the usual.*standard\.mae"):
        compare_runs([(label, rows([1.0], "standard.mae")) for label in "ab"])


@pytest.mark.parametrize(
    ("runs", "arguments", "words"),
    [
        ([], {}, "nothing to compare"),
        ([run("a", [1]), run("a", [1])], {}, "two runs are called a"),
        ([run("a", [1]), ("b", [])], {}, "b: holds no image"),
        ([run("a", [1]), ("b", rows([1]) * 2)], {}, "b: holds i0 twice"),
        ([run("a", [1], {"part": "test"}), run("b", [1, 2])], {}, r"a \(test, 1 images\) and b .*only b has i1"),
        ([run("a", [1], {"digest": "1", "part": "val"}), run("b", [1], {"digest": "2"})], {}, "results.json is of val"),
        ([run("a", [1]), run("b", [1], None, {"official": "new"})], {}, "measured the protocol official in other ways"),
        ([run("a", [1], cover=[0.2]), run("b", [1], cover=[0.4])], {}, r"image\.cover differs for i0"),
        ([run("a", [1]), run("b", [1])], {"metrics": ["standard.mae"]}, r"a: standard\.mae was not measured"),
        ([run("a", [1]), run("b", [1])], {"baseline": "c"}, "no run is called c: choose the baseline of a, b"),
    ],
)
def test_what_cannot_be_compared_is_refused(runs, arguments, words):
    with pytest.raises(UserError, match=words):
        compare_runs(runs, **arguments)


def test_other_resolutions_are_compared_when_asked_for():
    runs = [run("full", [1, 2], change=[0.2, 0.3]), run("half", [1.5, 2.5], change=[0.1, 0.2])]
    assert compare_runs(runs, same_images=False).at("half", PSNR).difference.estimate.mean == 0.5
    with pytest.raises(UserError, match=r"not the same \(image\.change"):
        compare_runs(runs)


@pytest.fixture
def awkward(noisy):
    """A comparison of runs whose names are markup in every format."""
    a, b = noisy
    cover = [0.05] * 3 + [0.5] * 17
    return compare_runs([("[red]a_1 | 50%", rows(a, cover=cover)), (r"b\{$x$} & #2", rows(b, cover=cover))])


def test_markdown(awkward):
    text = to_markdown(awkward)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert len(tables) == 3  # means, differences, by bin
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert r"[red]a_1 \| 50%" in text and r"**official.psnr ↑ by image.cover, differences to [red]a_1 \| 50%**" in text
    assert "cover 0-10% (3)" in text
    assert re.search(r"No p \(fewer than 6 images differ.*\): .*cover 0-10%\.", text)


def test_latex_holds_no_character_that_acts(awkward):
    text = to_latex(awkward)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == text.count(r"\toprule") == 3
    assert "\\usepackage{booktabs,graphicx}" in text.splitlines()[0]
    assert r"{[}red]a\_1 $|$ 50\% &" in text and r"b\textbackslash{}\{\$x\$\} \& \#2" in text
    for table in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        lines = [line for line in table[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(table[0]) - 1}
    bare = re.sub(r"\\.|\$", "", "\n".join(text.splitlines()[1:]).replace("{!}{%\n", "{!}{\n"))
    assert not set("#%_^~") & set(bare) and text.isascii()
    assert re.search(r"\[\$-\$0\.\d{3}, ", text) or "+0." in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_csv_is_one_line_per_run_metric_and_bin(awkward):
    lines = list(csv.DictReader(io.StringIO(to_csv(awkward))))
    assert len(lines) == 2 * 1 * 3
    of_run = [line for line in lines if line["run"] == awkward.runs[1]]
    cell = awkward.at(awkward.runs[1], PSNR)
    assert float(of_run[0]["difference"]) == cell.difference.estimate.mean
    assert float(of_run[0]["p"]) == cell.difference.p
    assert (of_run[0]["protocol"], of_run[0]["metric"], of_run[0]["bin"]) == ("official", "psnr", "all images")
    assert of_run[1]["p"] == "" and "fewer than 6" in of_run[1]["no_p_because"]
    assert {line["difference"] for line in lines if line["run"] == awkward.baseline} == {""}


def test_the_terminal_shows_names_as_they_are(awkward):
    page = io.StringIO()
    print_comparison(awkward, Console(file=page, width=60))
    text = page.getvalue()
    assert "[red]a_1 | 50%" in text and "Differences to [red]a_1" in text and "Wilcoxon" in text
    assert len(text_tables(awkward)) == 3 and text_notes(awkward)[0].startswith("In brackets")


def test_files_are_complete_and_never_overwritten_unasked(awkward, tmp_path):
    folder = tmp_path / "new" / "out"
    assert [path.name for path in write_comparison(awkward, folder)] == list(FILES)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    (folder / "compare.md").write_text("mine")
    with pytest.raises(UserError, match=r"compare\.md.*--overwrite"):
        write_comparison(awkward, folder)
    assert (folder / "compare.md").read_text() == "mine"
    write_comparison(awkward, folder, overwrite=True)
    assert (folder / "compare.md").read_text() == to_markdown(awkward)


def evaluation(**methods):
    return Evaluation(
        {"official": "8-bit", "signature": "how it fails"}, methods, split={"part": "test"}, about={"seed": 1}
    )


@pytest.mark.parametrize("where", ["", "scores"])
def test_results_are_found_in_folders_of_scores_and_runs(tmp_path, where):
    written = evaluation(prior=rows([1.0]), DE=rows([math.inf]), last=rows([math.nan]))
    write_evaluation(written, tmp_path / "cell" / where)
    path = tmp_path / "cell" / where / "results.json"
    assert find_results(tmp_path / "cell") == find_results(path) == path
    found = read_run(tmp_path / "cell")
    assert (found.label, found.path, found.best_method) == ("cell", path, "DE")
    assert found.rows() == [{"name": "i0", PSNR: math.inf}] and math.isnan(found.rows("last")[0][PSNR])
    assert (found.split, found.about, found.protocols) == ({"part": "test"}, {"seed": 1}, written.protocols)
    assert read_run(path, "mine").label == "mine"
    only = found.only("prior", "p")
    assert (only.label, only.methods, only.best_method) == ("p", {"prior": rows([1.0])}, "prior")
    with pytest.raises(UserError, match=r"has no method x: choose from prior, DE, last"):
        found.only("x")


def test_a_run_without_results_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        find_results(tmp_path / "absent")
    with pytest.raises(UserError, match=r"no results\.json or scores/results\.json: finish the run"):
        find_results(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"not measured yet: run declouds test .*config\.py .*--out .*scores"):
        find_results(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "not valid JSON.*evaluate again"),
        (lambda text: "[]", r"is not a results\.json"),
        (lambda text: json.dumps({"loss": [1]}), r"is not a results\.json"),
        (lambda text: text.replace('"name"', '"nome"'), r"is not a results\.json"),
        (lambda text: text.replace('"i0"', "3"), r"is not a results\.json"),
        (lambda text: text.replace('"format": 1', '"format": 2'), r"another version.*\(format 2, this one reads 1\)"),
        (lambda text: text.replace('"format": 1,', ""), "another version.*format unknown.*evaluate again"),
    ],
)
def test_half_written_foreign_and_other_files_are_named(tmp_path, change, words):
    write_evaluation(evaluation(DE=rows([1.0])), tmp_path)
    path = tmp_path / "results.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=rf"results\.json: .*{words}") as stop:
        read_run(tmp_path)
    assert "\n" not in str(stop.value)


def test_facts_of_images_are_kept_but_are_no_metrics(tmp_path):
    facts = dict(cover=[0.5], change=[math.nan])
    written = evaluation(
        DE=[{**rows([30.0], **facts)[0], "signature.blur": -0.25}],
        prior=[{**rows([29.0], **facts)[0], "signature.blur": 0.5}],
    )
    written.compared = [("DE", "prior")]
    write_evaluation(written, tmp_path)
    assert read_run(tmp_path).rows()[0]["image.cover"] == 0.5
    assert "image." not in (tmp_path / "summary.csv").read_text()
    assert "image.cover" in (tmp_path / "per_image.csv").read_text()
    page = io.StringIO()
    print_tables(written, Console(file=page, width=120))
    assert "protocol: signature" in page.getvalue() and "nearer 0" in page.getvalue()
    assert "image." not in page.getvalue()
    assert written.summaries()["DE - prior"]["signature.blur"].mean == -0.25  # of sizes
