import csv
import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from declouds.errors import UserError
from declouds.evaluation.results import read_results
from declouds.evaluation.statistics import compare, summarise
from declouds.evaluation.tables import FILES, Evaluation, check_free, print_tables, write_evaluation


def rows(values, metric="official.psnr"):
    return [{"name": str(index), metric: value} for index, value in enumerate(values)]


def evaluation():
    prior = rows([20.0, 21.0, 22.0, math.inf])
    better = rows([20.5, 21.75, 22.25, math.inf])
    better[0]["standard.psnr.cloudy_pixels"] = 3.0
    return Evaluation(
        protocols={"official": "8-bit [as published]", "standard": "float"},
        methods={"prior": prior, "DE": better},
        split={"file": "split.json", "name": "test"},
        compared=[("DE", "prior")],
        about={"seed": 0, "value_range": None},
    )


def test_the_interval_holds_the_mean_is_seeded_and_narrows_with_more_images():
    random = np.random.default_rng(1)
    few, many = rows(random.normal(25, 3, 20)), rows(random.normal(25, 3, 500))
    found = summarise(few)["official.psnr"]
    assert found.mean == pytest.approx(np.mean([row["official.psnr"] for row in few]))
    assert found.low < found.mean < found.high
    assert found == summarise(few)["official.psnr"]
    assert found != summarise(few, seed=1)["official.psnr"]
    # The interval of a mean of n normal values is about 2 * 1.96 * 3 / sqrt(n) wide.
    wide = summarise(many)["official.psnr"]
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * 3 / math.sqrt(500), rel=0.15)


def test_infinite_and_missing_values_are_counted_and_left_out():
    found = summarise([*rows([10.0, math.inf, 20.0, math.nan]), {"name": "x"}])["official.psnr"]
    assert (found.mean, found.images, found.infinite, found.missing) == (15, 2, 1, 2)
    assert summarise(rows([math.inf, math.inf]))["official.psnr"].mean == math.inf
    assert math.isnan(summarise(rows([math.nan]))["official.psnr"].mean)
    alone = summarise(rows([7.0]))["official.psnr"]
    assert alone.mean == 7 and math.isnan(alone.low) and math.isnan(alone.high)
    equal = summarise(rows([5.0, 5.0, 5.0]))["official.psnr"]
    assert (equal.low, equal.high) == (5, 5)


def test_a_paired_difference_is_sharper_than_the_means():
    base = np.random.default_rng(2).normal(25, 5, 30)
    a, b = rows(base + 0.2), rows(base)[::-1]
    found = compare(a, b)["official.psnr"]
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.2))
    assert summarise(a)["official.psnr"].low < summarise(b)["official.psnr"].high
    both = compare(rows([math.inf, 5.0, math.inf]), rows([math.inf, 4.0, 1.0]))["official.psnr"]
    assert (both.mean, both.images, both.infinite) == (0.5, 2, 1)


def test_only_the_same_images_are_compared():
    with pytest.raises(UserError, match="only one of the two results has 2"):
        compare(rows([1.0, 2.0, 3.0]), rows([1.0, 2.0]))
    with pytest.raises(UserError, match="twice: 0"):
        compare(rows([1.0]) * 2, rows([1.0]))


def test_the_json_is_strict_and_comes_back(tmp_path):
    write_evaluation(evaluation(), tmp_path / "new" / "out")

    def refuse(token):
        raise AssertionError(token)

    content = json.loads((tmp_path / "new" / "out" / "results.json").read_text(), parse_constant=refuse)
    assert content["protocols"]["official"] == "8-bit [as published]"
    assert content["format"] == 1
    assert (content["count"], content["split"]["name"]) == (4, "test")
    summary = content["methods"]["DE"]["summary"]
    assert summary["official.psnr"]["mean"] == pytest.approx(21.5)
    assert summary["official.psnr"]["infinite"] == 1
    assert summary["standard.psnr.cloudy_pixels"]["low"] is None
    assert content["methods"]["DE"]["per_image"][3]["official.psnr"] == "inf"
    assert content["differences"]["DE - prior"]["official.psnr"]["mean"] == pytest.approx(0.375)
    assert read_results(tmp_path / "new" / "out" / "results.json") == evaluation().methods


def test_the_csv_files(tmp_path):
    write_evaluation(evaluation(), tmp_path)
    lines = list(csv.DictReader((tmp_path / "per_image.csv").open()))
    assert [line["method"] for line in lines] == ["prior"] * 4 + ["DE"] * 4
    assert [line["official.psnr"] for line in lines[4:]] == ["20.5", "21.75", "22.25", "inf"]
    assert [line["standard.psnr.cloudy_pixels"] for line in lines[3:6]] == ["", "3.0", ""]
    summary = list(csv.DictReader((tmp_path / "summary.csv").open()))
    assert [(line["method"], line["protocol"], line["metric"]) for line in summary] == [
        ("prior", "official", "psnr"),
        ("DE", "official", "psnr"),
        ("DE", "standard", "psnr.cloudy_pixels"),
        ("DE - prior", "official", "psnr"),
    ]


def test_every_table_names_its_protocol_and_the_images_left_out():
    page = io.StringIO()
    print_tables(evaluation(), Console(file=page, width=100))
    text = page.getvalue()
    assert "protocol: official, 4 images" in text and "protocol: standard, 4 images" in text
    assert "8-bit [as published]" in text
    assert "21.500" in text and "0.375" in text and "DE - prior" in text
    assert "DE, official.psnr: 1 images identical to the clear one (infinite) are excluded" in text


def test_results_are_never_overwritten_unasked(tmp_path):
    (tmp_path / "summary.csv").write_text("mine")
    with pytest.raises(UserError, match=r"already holds summary\.csv.*--overwrite"):
        write_evaluation(evaluation(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.csv"]
    assert (tmp_path / "summary.csv").read_text() == "mine"
    write_evaluation(evaluation(), tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    with pytest.raises(UserError, match="is a file"):
        write_evaluation(evaluation(), tmp_path / "table.txt")


def test_a_place_that_cannot_be_written_is_named_before_long_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file is a file: give a folder"):
        check_free(tmp_path / "file" / "deep" / "results", overwrite=True)
    check_free(tmp_path / "new" / "results", overwrite=False)
    assert not (tmp_path / "new").exists()


def test_only_a_results_file_is_read(tmp_path):
    for content, words in {
        "[]": r"is not a results\.json",
        "{": "is not valid JSON",
        '{"methods": {"a": 3}}': "was written by another version",
        '{"format": 1, "methods": {"a": 3}}': r"is not a results\.json",
    }.items():
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(UserError, match=rf"x\.json: {words}"):
            read_results(tmp_path / "x.json")
    with pytest.raises(UserError, match="no such file"):
        read_results(tmp_path / "absent.json")
