"""Published weights by name: fetched once, checked by their digest, kept in the cache."""

import hashlib

import pytest
import torch

import declouds
from declouds.cli import main
from declouds.datamodules.splits import digest
from declouds.digests import file_digest
from declouds.errors import UserError
from declouds.image_io import read_image
from declouds.weights import zoo as zoo_module
from declouds.weights.file import read_weights
from declouds.weights.kinds import KINDS
from declouds.weights.kinds.official import checked_order

NO_NETWORK = "http://127.0.0.1:9/published.pth"  # nothing listens there


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("entry", zoo_module.zoo().values(), ids=lambda entry: entry.name)
def test_the_entries_are_complete_and_true(entry, shared):
    expected = entry.expected
    assert checked_order(entry.kind, entry.channel_order) and entry.kind in KINDS
    assert all(url.startswith("https://") for url in entry.urls) and entry.urls and entry.licence
    assert digest(expected.split) == expected.split_digest
    assert set(expected.scores) == set(expected.tolerances)
    family, _, data = entry.name.rpartition("_")
    official = shared / "weights" / family / f"{data}.pth"
    assert (official.stat().st_size, file_digest(official)) == (entry.bytes, entry.sha256)
    folders = [shared / "data" / data / side for side in ("cloud", "label")]
    pixels = b"".join(read_image(folder / f"{name}.png").tobytes() for name in expected.split for folder in folders)
    assert hashlib.sha256(pixels).hexdigest() == expected.pixels_digest


def test_a_name_is_fetched_once_and_then_needs_no_network(one_entry, tmp_path, monkeypatch, caplog):
    entry = one_entry()
    model = declouds.load_model("tiny")
    assert files_in(tmp_path / "cache") == [entry.cached.name]
    assert model.record["zoo"] == dict(name="tiny", about="a tiny network", source="here", licence="MIT")
    assert model.record["imported"]["sha256"] == entry.sha256
    assert "downloading" in caplog.text
    one_entry(urls=(NO_NETWORK,))
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    again = declouds.load_model("tiny")
    cloudy = torch.rand(1, 3, 8, 8)
    assert torch.equal(model.predict(cloudy), again.predict(cloudy))


def test_a_path_that_exists_comes_first(one_entry, tmp_path, monkeypatch):
    one_entry()
    declouds.load_model("tiny")
    own = read_weights("tiny")
    monkeypatch.chdir(tmp_path)
    from declouds.weights.file import save_weights

    save_weights("tiny", own.config, own.state_dict, dict(mine=True))
    assert declouds.load_model("tiny").record == dict(mine=True)


def test_an_unknown_name_is_answered_with_the_nearest(one_entry):
    one_entry()
    with pytest.raises(UserError, match=r"tiney does not exist: .* the zoo \(did you mean tiny\?\): tiny"):
        declouds.load_model("tiney")
    with pytest.raises(UserError, match=r"no published weights are called 'tiney': .*did you mean tiny"):
        zoo_module.fetch("tiney")


def fails(one_entry, capsys, tmp_path, *words):
    before = files_in(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["weights", "fetch", "tiny", *map(str, words)])
    assert ended.value.code == 2
    assert files_in(tmp_path) == before
    message = capsys.readouterr().err.strip().splitlines()[-1]
    entry = zoo_module.zoo()["tiny"]
    assert entry.urls[0] in message and entry.sha256 in message and str(entry.official) in message
    assert "or run `declouds weights fetch tiny --from FILE`" in message
    return message


def test_what_cannot_be_fetched_says_how_to_bring_it(one_entry, capsys, tmp_path, monkeypatch, spa_gan_file):
    one_entry(urls=(NO_NETWORK, NO_NETWORK))
    assert "tiny cannot be downloaded" in fails(one_entry, capsys, tmp_path)
    one_entry(urls=((tmp_path / "web" / "absent.pth").as_uri(),))
    assert "tiny cannot be downloaded" in fails(one_entry, capsys, tmp_path)
    one_entry(sha256="0" * 64)
    assert "its SHA-256 digest is" in fails(one_entry, capsys, tmp_path)
    one_entry()
    assert "downloads are forbidden" in fails(one_entry, capsys, tmp_path, "--offline")
    other = spa_gan_file(seed=1, name="other.pth")
    assert "other.pth is not the official file of tiny" in fails(one_entry, capsys, tmp_path, "--from", other)
    assert "no such file" in fails(one_entry, capsys, tmp_path, "--from", tmp_path / "absent.pth")
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    assert "downloads are forbidden" in fails(one_entry, capsys, tmp_path)
    with pytest.raises(UserError, match="downloads are forbidden"):
        declouds.load_model("tiny")


def test_a_file_brought_by_hand(one_entry, tmp_path, capsys):
    entry = one_entry(urls=(NO_NETWORK,))
    main(["weights", "fetch", "tiny", "--offline", "--from", str(tmp_path / "web" / "published.pth")])
    assert capsys.readouterr().out.strip() == str(entry.cached)
    entry.cached.unlink()
    entry.official.write_bytes((tmp_path / "web" / "published.pth").read_bytes())  # where the message says
    assert zoo_module.fetch("tiny", forbid_download=True) == entry.cached
    damaged = entry.cached.read_bytes()[:500]
    entry.cached.write_bytes(damaged)
    with pytest.raises(UserError, match="truncated"):
        declouds.load_model("tiny")
    main(["weights", "fetch", "tiny", "--overwrite"])
    assert declouds.load_model("tiny").bands == 3


def test_a_cache_that_cannot_be_written(one_entry, tmp_path, monkeypatch):
    one_entry()
    (tmp_path / "file").touch()
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be written to"):
        zoo_module.fetch("tiny")


def test_the_list_shows_every_name(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path))
    main(["weights", "list"])
    text = capsys.readouterr().out
    for entry in zoo_module.zoo().values():
        assert f"{entry.name} (not fetched)" in text and entry.source in text and entry.licence in text
    assert "psnr 28.476, ssim 0.8971: official protocol, 16 images of RICE1" in text
