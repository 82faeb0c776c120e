"""README, CONTRIBUTING and docs: links resolve, commands parse, and what a reader would type works as it stands."""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from declouds.cli import build_parser, main
from declouds.image_io import image_header, read_image, write_image
from declouds.registry import FUSIONS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN_PARSERS = {"dates_of_one_place", "demo", "measure_composites"} | {
    f"measure_{what}" for what in ("dates", "detectors", "general", "radar", "scenes")
}
PREFIX_OF_TOOL = {
    "train": ["train"],
    "test": ["test"],
    "predict": ["predict"],
    "sweep": ["sweep"],
    "import_weights": ["weights", "import"],
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Stands in for configs/de_simulated.py, so that the commands of README and tour take seconds.
TINY = """
seed = 0
log_interval = 1
ema = dict(decay=0.9)
val = dict(images=1, panels=1, tile=32, overlap=8)
datamodule = dict(type="Simulated", size=32, train=4, val=1, test=2)
_small = dict(base=8, multipliers=(1, 1, 1, 1, 1), blocks=1, attention_at=(), heads=1)
model = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **_small),
    reference=dict(type="Identity"),
    fusion=dict(type="WeightAllocation", **_small),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=2),
)
stages = [dict(name="both", train=["denoiser", "fusion"], iterations=2, batch_size=2, lr=1e-3)]
"""


def blocks(page, *languages):
    return [(language, text) for language, text in BLOCK.findall(page.read_text()) if language in languages]


def commands(page):
    """Return the command lines of a page."""
    return [line for _, text in blocks(page, "bash") for line in text.splitlines() if line.strip()]


def page_id(page):
    return str(page.relative_to(ROOT))


def slugs(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_and_named_files_are_there(page):
    text = page.read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        target, _, anchor = link.partition("#")
        if re.match(r"https?://", link):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in slugs(path), f"{link}: no such heading"
    named = re.findall(r"\b(?:configs|declouds|tools|tests)/[\w./]*\w", text)
    absent = {path for path in named if not (ROOT / path).exists()}
    written = {"declouds/fusions/agreement.py", "configs/my_fusion.py", "tests/test_my_fusion.py"}  # by the reader
    assert absent <= written, absent


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_are_understood_by_todays_parsers(page, monkeypatch):
    monkeypatch.chdir(ROOT)  # the benchmark looks whether its configs are there
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    makefile = (ROOT / "Makefile").read_text()
    previous = []
    for line in commands(page):
        words = shlex.split(line, comments=True)
        tool = next((Path(word).stem for word in words if re.fullmatch(r"tools/\w+\.py", word)), None)
        if tool == "benchmark":
            importlib.import_module("benchmark").parse(words[words.index("tools/benchmark.py") + 1 :])
        elif tool in OWN_PARSERS:
            parser = importlib.import_module(tool).build_parser()
            parser.parse_args(words[words.index(f"tools/{tool}.py") + 1 :])
        elif tool is not None:
            build_parser().parse_args(PREFIX_OF_TOOL[tool] + words[words.index(f"tools/{tool}.py") + 1 :])
        elif words[0] == "declouds" and words[1:] == ["--help"]:
            pass
        elif words[0] == "declouds" or "-m declouds" in line:
            build_parser().parse_args(words[words.index("declouds") + 1 :])
        elif words[0] == "xdg-open":
            assert words[1:] == [f"{Path(word).stem}.html" for word in previous if word.endswith("_cleared.tif")], line
        elif words[0] == "qgis_process":
            plugin = "".join(path.read_text() for path in (ROOT / "qgis" / "declouds_processing").glob("*.py"))
            named = re.findall(r"declouds:(\w+)|--(\w+)=", line)
            assert all(f'"{algorithm or parameter}"' in plugin for algorithm, parameter in named), line
            assert named or words[1:] == ["plugins", "enable", "declouds_processing"], line
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), line
        else:
            assert words[0] in ("pip", "pytest", "tensorboard"), f"no test knows this command: {line}"
        previous = words


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_blocks_compile(page):
    for _, text in blocks(page, "python"):
        compile(text, str(page), "exec")


def test_names_in_the_table_of_equations_are_in_the_files_it_gives():
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs" / "equations.md").read_text().splitlines() if "`" in line]
    checked = 0
    for cells in rows:
        file = re.search(r"`(declouds/[\w/]+\.py)`", cells[-1]) if cells else None
        if file is None or len(cells) < 4:
            continue
        source = (ROOT / file[1]).read_text()
        for code in re.findall(r"`([^`]+)`", cells[2]):
            for name in re.findall(r"[A-Za-z]\w+", code):
                assert name.removeprefix("loss_") in source, f"{name} is not in {file[1]}"
                checked += 1
    assert checked > 25


def test_the_place_for_measured_figures_is_marked():
    text = (ROOT / "docs" / "reproduction.md").read_text()
    begin, end = (text.find(f"<!-- results:{word} -->") for word in ("begin", "end"))
    assert 0 < begin < end


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A folder like the repository's root, with a tiny config, a few pairs, and no network for LPIPS."""
    from declouds.evaluation import lpips_net

    monkeypatch.delenv("DECLOUDS_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(lpips_net, "URL", "http://127.0.0.1:9/alexnet.pth")
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/de_simulated.py").write_text(TINY)
    return tmp_path


def write_pairs(folder):
    random = np.random.default_rng(0)
    for name in ("cloud", "label"):
        (folder / name).mkdir(parents=True)
    for number in range(6):
        coarse = random.integers(20, 200, (3, 4, 4), dtype=np.uint8)
        clear = coarse.repeat(8, axis=1).repeat(8, axis=2)
        write_image(folder / "label" / f"{number}.png", clear)
        write_image(folder / "cloud" / f"{number}.png", clear // 2 + 100)


def write_part_of_bahamas(path):
    """Write a corner of the demo's scene, which takes a second to clear, under the name that the README gives it."""
    path.parent.mkdir(parents=True)
    write_image(path, read_image(ROOT / path)[:, :64, :64])


def run_python(text):
    """Run a block, or write it to the file that its first line names."""
    first = text.splitlines()[0]
    if re.fullmatch(r"# \w+\.py", first):
        Path(first.removeprefix("# ")).write_text(text)
    else:
        exec(compile(text, "block", "exec"), {"__name__": "block"})


def test_the_readme_and_the_tour_work_as_they_stand(workshop, capsys):
    (scene,) = (text for _, text in blocks(ROOT / "docs" / "quick_start.md", "python"))
    run_python(scene)
    write_pairs(Path("my_data"))
    write_part_of_bahamas(Path("tools/demo_images/bahamas.tif"))
    done = set()
    pages = (ROOT / "README.md", ROOT / "docs" / "tour.md")
    for language, text in [block for page in pages for block in blocks(page, "bash", "python")]:
        if language == "python":
            run_python(text)
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            elsewhere = words[1] in (
                "weights",
                "sweep",
                "reproduce",
            )  # these need other files
            if words[0] == "declouds" and not elsewhere and "configs/de_rice1.py" not in words:
                main(words[1:])
                done.add(words[1])
    assert done == {*"train test evaluate predict data models new compare report runs".split()}

    assert "hours" in capsys.readouterr().out  # of the dry run
    assert np.array_equal(read_image(Path("clear.tif")), read_image(Path("clear_too.tif")))
    assert image_header("bahamas_cleared.tif")[:3] == (3, 64, 64)
    assert Path("bahamas_cleared.html").is_file()
    from declouds.evaluation.tables import read_results

    for out in ("simulated", "mine", "mine_again"):
        assert "protocol: official" in Path("scores", out, "table.txt").read_text()
    own, again = (read_results(Path("scores", out, "results.json")) for out in ("mine", "mine_again"))
    assert len(again["result"]) == len(own["DE"]) > 0
    for before, after in zip(own["DE"], again["result"], strict=True):  # pictures are rounded, floats truncated
        assert before["name"] == after["name"]
        assert before["official.psnr"] == pytest.approx(after["official.psnr"], abs=0.5)


def test_the_page_on_adding_a_part_works_as_it_stands(workshop, monkeypatch, capsys):
    FUSIONS.names()  # the package's own, before the copy that takes the new one and is dropped again
    monkeypatch.setattr(FUSIONS, "_module_dict", dict(FUSIONS.module_dict))
    page = ROOT / "docs" / "add_a_part.md"
    monkeypatch.syspath_prepend(str(workshop))
    for _, text in blocks(page, "python"):
        run_python(text)
    importlib.import_module("test_agreement").test_agreement()
    (train,) = (line for line in commands(page) if "my_fusion_config.py" in line)  # the others: tests/scaffold
    main(shlex.split(train)[1:])
    assert "denoiser, fusion" in capsys.readouterr().out

    # As a plugin, installed: a folder with metadata on the path is all that an installation leaves.
    project = tomllib.loads(next(text for _, text in blocks(page, "toml")))["project"]
    ((group, entries),) = project["entry-points"].items()
    installed = workshop / "declouds_agreement-0.1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (installed / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
    listed = subprocess.run(
        [sys.executable, "-m", "declouds", "models", "fusion"],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(workshop), str(ROOT)]), COLUMNS="200"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"Agreement +Weight that falls with the distance", listed)
