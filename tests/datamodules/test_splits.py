import json

import numpy as np
import pytest

from declouds.datamodules.make_split import group_together, look_alike_links, make_split, perceptual_hash
from declouds.datamodules.pairs import natural_order, pairs_in
from declouds.datamodules.splits import digest, find_split, with_validation, write_split
from declouds.errors import UserError
from declouds.image_io import read_image, write_image
from declouds.simulation.scene import clear_scene


def land(seed, size=48):
    return np.rint(clear_scene(np.random.default_rng(seed), size, size, 3) * 255).astype(np.uint8)


@pytest.fixture
def places(tmp_path):
    """40 pictures of 36 places: 100 to 103 show the places of 0 to 3 at another hour."""
    for side in ("cloud", "label"):
        (tmp_path / side).mkdir()
    for name in [*range(36), 100, 101, 102, 103]:
        picture = land(name % 100)
        if name >= 100:
            picture = np.rint(picture * 0.8 + np.random.default_rng(name).normal(12, 3, picture.shape)).clip(0, 255)
        for side in ("cloud", "label"):
            write_image(tmp_path / side / f"{name}.png", picture.astype(np.uint8))
    return tmp_path


def test_pictures_of_one_place_are_found_whatever_the_light(places):
    made = make_split(pairs_in(places))
    assert sorted(map(sorted, made.groups)) == [["0", "100"], ["1", "101"], ["102", "2"], ["103", "3"]]


@pytest.mark.parametrize("gap", [np.nan, np.finfo("float32").min])
def test_pixels_without_data_make_no_look_alikes(places, gap):
    for path in places.glob("*/*.png"):
        pixels = read_image(path).astype(np.float32)
        pixels[:, :5] = gap
        write_image(path.with_suffix(".tif"), pixels)
        path.unlink()
    assert len(make_split(pairs_in(places)).groups) <= 4


@pytest.mark.parametrize("seed", range(5))
def test_look_alikes_are_never_in_different_parts(places, seed):
    made = make_split(pairs_in(places), (0.6, 0.2, 0.2), seed=seed)
    assert [len(made.parts[part]) for part in ("train", "val", "test")] == [24, 8, 8]
    assert sorted((name for names in made.parts.values() for name in names), key=int) == [
        str(n) for n in [*range(36), 100, 101, 102, 103]
    ]
    part_of = {name: part for part, names in made.parts.items() for name in names}
    for name in range(4):
        assert part_of[str(name)] == part_of[str(name + 100)]


def test_a_split_is_a_function_of_the_seed(places):
    pairs = pairs_in(places)
    one, again, other = (make_split(pairs, seed=seed).parts for seed in (3, 3, 4))
    assert one == again != other


def test_blocks_and_patterns_stay_together(places):
    pairs = pairs_in(places)
    part_of = {n: p for p, names in make_split(pairs, (0.5, 0.5), block=6).parts.items() for n in names}
    for start in range(0, 36, 6):
        assert len({part_of[str(n)] for n in range(start, start + 6)}) == 1
    part_of = {n: p for p, names in make_split(pairs, (0.5, 0.5), group=r"(\d)$").parts.items() for n in names}
    for last in range(10):
        assert len({part for name, part in part_of.items() if name.endswith(str(last))}) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fractions": (0.8, 0.3)}, "add up to 1"),
        ({"fractions": (1.0,)}, "two .* or three"),
        ({"fractions": (1.2, -0.2)}, "positive numbers"),
        ({"group": "("}, "not a valid regular expression"),
        ({"group": "x"}, "does not match '0'"),
        ({"group": "^"}, "too few"),
    ],
)
def test_splits_that_cannot_be_made(places, arguments, message):
    with pytest.raises(UserError, match=message):
        make_split(pairs_in(places), **arguments)


def test_blocks_need_numbers(tmp_path):
    for side in ("cloud", "label"):
        (tmp_path / side).mkdir()
        for name in ("north", "south"):
            write_image(tmp_path / side / f"{name}.png", land(1))
    with pytest.raises(UserError, match="'north' is not a number: use group"):
        make_split(pairs_in(tmp_path), block=10)


def test_different_real_pictures_are_not_taken_for_look_alikes(shared):
    for data in ("rice1", "rice2"):
        pairs = pairs_in(shared / "data" / data)
        assert make_split(pairs).groups == []  # this selection is known to hold each place once


def test_hashes_ignore_size_and_light_but_not_place():
    picture = land(5, 96).astype(float)
    same = [picture[:, ::2, ::2], picture * 0.5 + 60, picture.mean(0, keepdims=True)]
    assert all((perceptual_hash(picture) != perceptual_hash(other)).sum() <= 6 for other in same)
    distances = [(perceptual_hash(picture) != perceptual_hash(land(seed, 96))).sum() for seed in range(6, 26)]
    assert min(distances) > 8
    assert perceptual_hash(np.zeros((3, 5, 7))).shape == (64,)


def test_links_join_groups_through_others():
    assert sorted(map(sorted, group_together(6, [(0, 3), (3, 5), (1, 1)]))) == [[0, 3, 5], [1], [2], [4]]
    bits = np.zeros((3, 64), bool)
    bits[1, :8] = bits[2, :20] = True
    assert look_alike_links(list(bits), 8) == [(0, 1)]
    assert look_alike_links(list(bits), 12) == [(0, 1), (1, 2)]


def test_names_are_in_natural_order():
    assert sorted(["10", "9", "a10", "a9", "1"], key=natural_order) == ["1", "9", "10", "a9", "a10"]


def test_a_digest_does_not_depend_on_order():
    assert digest(["b", "a"]) == digest(["a", "b"]) != digest(["ab"])


def test_written_splits_are_read_back_and_never_replaced(tmp_path):
    path = tmp_path / "split.json"
    write_split(path, {"train": ["10", "9"], "test": ["1"]}, "how it was made")
    assert find_split("split.json", tmp_path).parts == {"train": ("9", "10"), "test": ("1",)}
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"split.json already exists"):
        write_split(path, {"train": []}, "")
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="cannot be written"):
        write_split(tmp_path / "none" / "split.json", {"train": []}, "")


def test_a_split_is_looked_for_in_the_data_first_then_here(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    write_split(tmp_path / "split.json", {"test": ["here"]}, "")
    assert find_split("split.json", tmp_path / "data").parts["test"] == ("here",)
    write_split(tmp_path / "data" / "split.json", {"test": ["there"]}, "")
    assert find_split("split.json", tmp_path / "data").parts["test"] == ("there",)
    assert find_split(tmp_path / "split.json", tmp_path / "data").parts["test"] == ("here",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[1, 2]", 'lists "train", "val", "test"'),
        ('{"training": ["1"]}', 'lists "train", "val", "test"'),
        ('{"train": "1"}', 'lists "train", "val", "test"'),
        ('{"train": ["1", "1"]}', "more than once: 1"),
        ('{"train": ["1"], "test": [2, 1]}', "more than once: 1"),
    ],
)
def test_broken_split_files(tmp_path, content, message):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(UserError, match=f"split.json: .*{message}"):
        find_split("split.json", tmp_path)


def test_a_held_out_pair_stays_where_it_is_when_others_are_added(places):
    pairs = pairs_in(places)
    small = {pair.name for pair in with_validation({"train": pairs[:20]}, 0.25)["val"]}
    large = {pair.name for pair in with_validation({"train": pairs}, 0.25)["val"]}
    assert len(small) == 5 and len(large) == 10
    kept = {pair.name for pair in pairs[:20]} & large
    assert kept <= small  # nobody who trained before is held out now
    assert {pair.name for pair in with_validation({"train": pairs[:20]}, 0.25, seed=1)["val"]} != small


@pytest.mark.parametrize("val", [0, 1, 1.5, "tset"])
def test_wrong_validation_parts(places, val):
    with pytest.raises(UserError, match="a fraction between 0 and 1, 'test' or None"):
        with_validation({"train": pairs_in(places)}, val)


def test_a_fraction_that_takes_everything(places):
    with pytest.raises(UserError, match="leaves none of the 1 training pairs"):
        with_validation({"train": pairs_in(places)[:1]}, 0.5)


def test_json_is_plain(tmp_path):
    write_split(tmp_path / "s.json", {"train": ["1"]}, "x")
    assert json.loads((tmp_path / "s.json").read_text()) == {"about": "x", "train": ["1"]}


def test_where_names_start_again_in_every_part_a_name_may_stand_in_several(tmp_path):
    (tmp_path / "split.json").write_text('{"train": ["1", "2"], "test": ["1"]}')
    with pytest.raises(UserError, match="more than once: 1"):
        find_split("split.json", tmp_path)
    assert find_split("split.json", tmp_path, restart=True).parts == {"train": ("1", "2"), "test": ("1",)}
    (tmp_path / "split.json").write_text('{"train": ["1", "1"]}')
    with pytest.raises(UserError, match="more than once: 1"):
        find_split("split.json", tmp_path, restart=True)


def test_lists_of_names_as_data_sets_publish_them(tmp_path):
    (tmp_path / "train.txt").write_text(
        "\ufeff7.png\r\n\r\n# a comment\ntrain/cloud/10.png\nLC08_a.b\n", encoding="utf-8"
    )
    (tmp_path / "test.txt").write_text("9\n")
    lists = dict(train="train.txt", test="test.txt")
    split = find_split(lists, tmp_path)
    assert split.parts == {"train": ("7", "10", "LC08_a.b"), "test": ("9",)} and split.name == "train.txt+test.txt"
    assert find_split(dict(train=["7"], test="test.txt"), tmp_path).parts == {"train": ("7",), "test": ("9",)}
    for bad, message in (
        (dict(train="none.txt"), "no such list of names"),
        (dict(training="train.txt"), 'lists "train", "val", "test"'),
        (dict(train="test.txt", test="test.txt"), "more than once: 9"),
        ("train.txt", "split=dict"),
    ):
        with pytest.raises(UserError, match=message):
            find_split(bad, tmp_path)
