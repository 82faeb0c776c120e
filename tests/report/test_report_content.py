import json

import pytest
from report_files import write_log

from declouds.evaluation.results import read_run
from declouds.evaluation.tables import Evaluation, write_evaluation
from declouds.report import write_report as writing
from declouds.report.run_content import training_curves, training_facts
from declouds.runs import record as run_file


def refused(capsys, report, *arguments):
    with pytest.raises(SystemExit) as stop:
        report(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_every_number_is_that_of_the_results(figures, report):
    scores = figures()
    _, content = report(scores, "--no-pictures")
    told = json.loads((scores / "results.json").read_text())
    keys = [metric["key"] for metric in content["metrics"]]
    assert keys == [
        "official.psnr", "standard.mae", "standard.mae.band1", "signature.cloud_left", "signature.blur", "image.cover",
    ]  # fmt: skip  # and no image.change, which no image has
    (run,) = content["runs"]
    assert run["names"] == [f"image{index}" for index in range(12)] and run["best"] == "DE"
    for method in run["methods"]:
        rows = told["methods"][method["name"]]["per_image"]
        assert method["values"] == [[row[key] for key in keys] for row in rows]
        means = told["methods"][method["name"]]["summary"]
        assert method["summary"] == [list(means[key].values()) if key in means else None for key in keys]
    assert method["values"][3][0] == "inf" and method["values"][4][3] is None
    assert run["differences"][0]["b"] == "prior"
    assert run["differences"][0]["summary"][0][0] == pytest.approx(11 / 12)  # 0 for the one infinite in both
    assert ["seed", "1"] in run["facts"]


def test_metrics_say_what_is_better_and_in_which_unit(figures, report):
    _, content = report(figures(), "--no-pictures")
    told = {metric["key"]: (metric["label"], metric["better"], metric["unit"]) for metric in content["metrics"]}
    assert told["official.psnr"] == ("PSNR", "higher", "dB")
    assert told["standard.mae.band1"] == ("MAE band 1", "lower", "")
    assert told["signature.cloud_left"] == ("cloud left", "nearer 0", "")
    assert told["image.cover"] == ("cover", "", "")
    assert "cloud_left" in next(
        protocol["text"] for protocol in content["protocols"] if protocol["name"] == "signature"
    )


@pytest.mark.parametrize(
    ("by", "worst"),
    [
        ("official.psnr", lambda row: -row["official.psnr"]),
        ("standard.mae", lambda row: row["standard.mae"]),
        ("signature.blur", lambda row: abs(row["signature.blur"])),
    ],
)
def test_the_worst_are_the_worst_by_the_metric_asked_for(figures, by, worst):
    run = read_run(figures())
    expected = [row["name"] for row in sorted(run.rows(), key=worst, reverse=True)[:4]]
    assert writing.worst_images(run, by, 4) == expected


def test_an_image_without_a_value_is_not_the_worst(figures):
    run = read_run(figures())
    assert writing.worst_images(run, "signature.cloud_left", 12)[-1] == "image4"
    assert writing.worst_images(run, "official.psnr", 12)[-1] == "image3"  # infinite


def test_runs_are_compared_with_the_first_where_they_share_images(figures, report):
    a, b, other = figures("a"), figures("b", 0.5), figures("c", names=[f"other{index}" for index in range(12)])
    _, content = report(a, b, other, "--no-pictures")
    assert [(found["a"], found["b"]) for found in content["across"]] == [("b", "a")]
    assert content["across"][0]["summary"][0][0] == pytest.approx(0.5 * 11 / 12)
    _, content = report(a, b, "--names", "x", "y", "--no-pictures", out="named")
    assert [run["label"] for run in content["runs"]] == ["x", "y"]


def test_names_stay_data(figures, report):
    names = ["</script><script>alert(1)</script>", "__proto__", "line\u2028end", *map(str, range(9))]
    folder, content = report(figures(names=names), "--no-pictures")
    assert content["runs"][0]["names"] == names
    assert "\u2028" not in (folder / "data.js").read_text()
    page = (folder / "index.html").read_text()
    assert "alert(1)" not in page and "http" not in page.replace('http-equiv="Content-Security-Policy"', "")


def test_a_report_in_the_way_is_kept_unless_told_otherwise(figures, report, capsys, tmp_path):
    scores = figures()
    folder, _ = report(scores, "--no-pictures")
    (folder / "note.txt").write_text("mine")
    assert "give --overwrite" in refused(capsys, report, scores, "--no-pictures")
    assert (folder / "note.txt").exists()
    report(scores, "--no-pictures", "--overwrite")
    assert not (folder / "note.txt").exists() and (folder / "index.html").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("mine")
    with pytest.raises(SystemExit):
        report(scores, "--no-pictures", "--overwrite", out="other")
    assert "is not a report" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "plain", "report"]  # nothing half-written


def test_what_fails_in_the_middle_leaves_nothing_and_keeps_what_was_there(
    figures, report, capsys, monkeypatch, tmp_path
):
    scores = figures()
    folder, _ = report(scores, "--no-pictures")
    before = sorted(path.name for path in folder.iterdir())

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_add_pictures", full)
    assert "No space left" in refused(capsys, report, scores, "--overwrite")
    assert sorted(path.name for path in folder.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "report"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--by", "official.ssim"], "choose one of official.psnr"),
        (["--by", "image.cover"], "choose a metric"),
        (["--worst", "0"], "give 1 or more"),
        (["--images", "image99"], "there are image9"),
        (["--names", "a", "b"], "one name per run"),
        (["--checkpoint", "a", "b"], "one for all, or one each"),
    ],
)
def test_bad_arguments_are_told_before_anything_is_written(figures, report, capsys, tmp_path, arguments, words):
    assert words in refused(capsys, report, figures(), "--no-pictures", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_two_runs_of_one_name_need_others(figures, report, capsys, tmp_path):
    (tmp_path / "b").mkdir()
    figures("b/plain")
    assert "--names" in refused(capsys, report, figures(), tmp_path / "b" / "plain", "--no-pictures")


def test_an_image_listed_twice_is_refused(report, capsys, tmp_path):
    write_evaluation(Evaluation({}, {"DE": [{"name": "a", "official.psnr": 1.0}] * 2}), tmp_path / "twice")
    assert "lists these images twice: a" in refused(capsys, report, tmp_path / "twice", "--no-pictures")


def test_curves_come_from_the_logs_of_the_stages(measured_run, report):
    _, content = report(measured_run, "--no-pictures")
    coarse, fine = content["runs"][0]["curves"]
    assert coarse["stage"] == "coarse" and coarse["trained_in"] is None
    assert coarse["losses"] == {"loss": [[1, 0.9], [2, 0.5], [3, 0.4]]}  # its only term is the same curve
    assert coarse["validations"] == {"official/psnr": [[3, 20.5]]}
    assert fine["losses"] == {"loss": [[1, 0.3], [2, 0.2]]} and fine["validations"] == {}


def test_a_resumed_stage_counts_its_later_values_and_a_torn_line_is_left_out(tmp_path, measured_run):
    for at, losses in (("1", [(1, 0.9), (2, 0.8), (3, 0.7)]), ("2", [(3, 0.6), (4, float("nan")), (5, 0.5)])):
        write_log(tmp_path / "0_coarse" / f"2026010{at}_000000", losses)
    log = tmp_path / "0_coarse" / "20260102_000000" / "vis_data" / "scalars.json"
    log.write_text(log.read_text() + '{"loss": 0.4, "it')
    (curve,) = training_curves(tmp_path)
    assert curve["losses"]["loss"] == [[1, 0.9], [2, 0.8], [3, 0.6], [5, 0.5]]


def test_a_stage_that_another_run_trained_is_read_there(tmp_path):
    write_log(tmp_path / "first" / "0_coarse" / "20260101_000000", [(1, 0.9)])
    write_log(tmp_path / "second" / "1_fine" / "20260101_000000", [(1, 0.2)])
    stages = [
        dict(name="coarse", folder="0_coarse", trained_in=str(tmp_path / "first" / "0_coarse")),
        dict(name="fine", folder="1_fine", trained_in="1_fine"),
        dict(name="last", folder="2_last", trained_in=None),
    ]
    record = {key: f"its {key}" for key in run_file.ENTRIES}
    record["stages"] = [dict.fromkeys(run_file.OF_STAGE) | stage for stage in stages]
    record["sessions"] = [dict.fromkeys(run_file.OF_SESSION)]
    (tmp_path / "second" / "run.json").write_text(json.dumps(record | dict(format=run_file.FORMAT)))
    coarse, fine = training_curves(tmp_path / "second")
    assert coarse["trained_in"] == str(tmp_path / "first" / "0_coarse") and coarse["losses"]["loss"] == [[1, 0.9]]
    assert fine["trained_in"] is None and fine["losses"]["loss"] == [[1, 0.2]]
    assert training_facts(tmp_path / "second")["seconds"] == "its seconds"
    assert training_facts(tmp_path / "first") == {}


def test_a_report_that_cannot_be_put_in_place_leaves_the_old_one(figures, report, capsys, monkeypatch, tmp_path):
    scores = figures()
    folder, _ = report(scores, "--no-pictures")
    before, rename = sorted(path.name for path in folder.iterdir()), writing.os.rename

    def refuse(source, target):
        if str(source).endswith(".partial"):
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(writing.os, "rename", refuse)
    assert "Input/output error" in refused(capsys, report, scores, "--no-pictures", "--overwrite")
    assert sorted(path.name for path in folder.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "report"]
