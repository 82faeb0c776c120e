"""Decoded images kept as files: decoded once for all workers and runs, and never taken for another image's."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from declouds.datamodules import decoded_files
from declouds.datamodules.decoded_files import SPARE, read_decoded, write_decoded
from declouds.datamodules.file_pairs import FilePairDataset
from declouds.datamodules.paired import PairedFolder, PairedFolderDataset
from declouds.errors import UserError
from declouds.image_io import read_image, write_image


@pytest.fixture
def pairs(make_pairs):
    root = make_pairs(mask=True)
    (root / "split.json").write_text(json.dumps(dict(train=["1", "2", "10", "11"], test=["12"])))
    return root


@pytest.fixture
def decoded(monkeypatch, tmp_path):
    """The names of the pairs that were decoded, over all processes."""
    log, load = tmp_path / "decoded.txt", FilePairDataset.load

    def logged(self, index):
        with log.open("a") as file:
            file.write(f"{self.names[index]}\n")
        return load(self, index)

    monkeypatch.setattr(FilePairDataset, "load", logged)
    return lambda: log.read_text().split() if log.exists() else []


def dataset(root, cache=True, **arguments):
    return PairedFolderDataset(root, cache=cache, **{"val": None, "mask": "mask", **arguments})


def same(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def files(folder):
    return sorted(folder.glob("*.npy"))


@pytest.mark.parametrize("arguments", [{}, dict(reduce=2), dict(mask=None)])
def test_a_folder_holds_what_was_decoded_for_the_next_run(pairs, decoded, tmp_path, arguments):
    plain = dataset(pairs, cache=False, **arguments)
    expected = [plain[index] for index in range(4)]
    before = len(decoded())
    for _ in range(2):
        kept = dataset(pairs, cache=str(tmp_path / "kept"), **arguments)
        assert all(same(kept[index], expected[index]) for index in (0, 1, 2, 3, 0))
    assert len(decoded()) - before == 4 == len(files(tmp_path / "kept"))
    kept[0]["cloudy"].zero_()  # what a caller does to its sample does not reach the file
    assert same(kept[0], expected[0])


def test_workers_decode_nothing_twice(pairs, decoded):
    images = dataset(pairs)
    for _ in range(3):  # each time with new workers
        (batch,) = DataLoader(images, batch_size=4, num_workers=2)
        list(DataLoader(images, batch_size=1, num_workers=2))
    assert sorted(decoded()) == ["1", "10", "11", "2"]
    plain = dataset(pairs, cache=False)
    assert torch.equal(batch["clear"], torch.stack([plain[index]["clear"] for index in range(4)]))


def test_images_that_exceed_the_memory_are_files_and_those_of_a_test_are_not(pairs, decoded, tmp_path, monkeypatch):
    monkeypatch.setattr("declouds.datamodules.pair_dataset.CACHE_LIMIT", 10)
    module = PairedFolder(pairs, val=None)
    module.setup()
    for _ in range(2):
        module.train_dataset[0], module.test_dataset[0]
    assert decoded() == ["1", "12", "12"]
    assert len(files(tmp_path / "cache" / "decoded")) == 1


def test_another_image_or_another_reading_is_another_file(pairs, tmp_path):
    def name(**arguments):
        return dataset(pairs, cache=tmp_path, **arguments).decoded_key(0)

    first = name()
    assert first == name()
    others = [name(**other) for other in (dict(reduce=2), dict(bands=[3, 2, 1]), dict(mask=None), dict(mask_above=3))]
    others += [name(value_range=(0, 200)), dataset(pairs, cache=tmp_path).decoded_key(1)]
    kept = dataset(pairs, cache=tmp_path)
    before = kept[0]["clear"]
    write_image(pairs / "label" / "1.png", 255 - read_image(pairs / "label" / "1.png"), overwrite=True)
    others.append(name())
    assert len({first, *others}) == 8
    torch.testing.assert_close(kept[0]["clear"], -before)


def test_a_reading_of_a_plugins_own_is_not_kept_as_a_file(pairs, tmp_path):
    class Brighter(PairedFolderDataset):
        def load(self, index):
            return super().load(index)

    assert Brighter(pairs, cache=tmp_path, val=None).decoded_key(0) is None


@pytest.mark.parametrize("left", [0, 20, -1])
def test_a_damaged_file_is_decoded_again(pairs, decoded, tmp_path, left):
    expected = dataset(pairs, cache=tmp_path / "kept")[0]
    (file,) = files(tmp_path / "kept")
    file.write_bytes(file.read_bytes()[:left])
    assert same(dataset(pairs, cache=tmp_path / "kept")[0], expected)
    assert same(dataset(pairs, cache=tmp_path / "kept")[0], expected)
    assert decoded() == ["1", "1"]


def test_a_killed_process_leaves_nothing_that_is_taken_for_whole(tmp_path):
    script = (
        "import itertools, sys\nimport numpy as np\nfrom pathlib import Path\n"
        "from declouds.datamodules import decoded_files\n"
        "decoded_files.SPARE = 0\n"
        "for number in itertools.count():\n"
        "    arrays = dict(cloudy=np.full((3, 512, 512), 7, np.uint8))\n"
        "    decoded_files.write_decoded(Path(sys.argv[1]) / f'{number}.npy', arrays)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=dict(os.environ))
    while len(files(tmp_path)) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for file in files(tmp_path):
        arrays = read_decoded(file)
        assert file.name.startswith(".") or (arrays["cloudy"] == 7).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_is_said_once_and_training_goes_on(pairs, decoded, tmp_path, monkeypatch, caplog, workers):
    monkeypatch.setattr(decoded_files, "SPARE", SPARE)
    disk = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(decoded_files.shutil, "disk_usage", lambda path: disk._replace(free=disk.total // 20))
    images = dataset(pairs, cache=tmp_path / "kept")
    expected = dataset(pairs, cache=False)[0]
    if workers:
        (batch,) = DataLoader(images, batch_size=4, num_workers=1)
        assert torch.equal(batch["clear"][0], expected["clear"])
    else:
        assert same(images[0], expected) and same(images[1], images[1])
        (warning,) = caplog.messages
        assert "kept (No space left on device; all of them need 0.0 GB): images are decoded again and again" in warning
    assert not files(tmp_path / "kept")


def test_a_folder_that_cannot_be_made_is_no_reason_to_stop(pairs, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert same(dataset(pairs, cache=tmp_path / "file" / "kept")[0], dataset(pairs, cache=False)[0])
    assert "cannot be kept" in caplog.text


def test_an_image_that_is_gone_is_named(pairs, tmp_path):
    images = dataset(pairs, cache=tmp_path / "kept")
    (pairs / "label" / "1.png").unlink()
    with pytest.raises(UserError, match=r"label/1\.png: cannot be opened"):
        images[0]


def test_what_is_no_folder_is_refused(pairs):
    with pytest.raises(UserError, match="cache = 3: give True or False, or a folder"):
        dataset(pairs, cache=3)


def test_arrays_of_all_kinds_come_back(tmp_path):
    arrays = dict(cloudy=np.arange(6, dtype=np.uint16).reshape(1, 2, 3), valid=np.array([[[True, False]]]))
    write_decoded(tmp_path / "a.npy", arrays)
    back = read_decoded(tmp_path / "a.npy")
    assert back.keys() == arrays.keys()
    for key, array in arrays.items():
        assert back[key].dtype == array.dtype and np.array_equal(back[key], array)
        assert not back[key].flags.writeable
