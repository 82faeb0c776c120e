import json

import numpy as np
import pytest

from declouds.datamodules.cuhk_cr import CUHKCR, CUHKCRDataset
from declouds.datamodules.rice import RICE, RICEDataset
from declouds.datamodules.splits import digest, find_split, shipped_splits
from declouds.errors import UserError
from declouds.image_io import read_image, write_image


@pytest.mark.parametrize(("version", "counts"), [(1, (58, 6, 16)), (2, (81, 9, 24))])
def test_real_rice(shared, version, counts):
    module = RICE(shared / "data" / f"rice{version}", version=version)
    module.setup()
    assert tuple(len(d) for d in (module.train_dataset, module.val_dataset, module.test_dataset)) == counts
    assert module.bands == 3 and module.band_names == ("red", "green", "blue")
    names = [set(d.names) for d in (module.train_dataset, module.val_dataset, module.test_dataset)]
    assert len(set.union(*names)) == sum(counts)
    sample = module.test_dataset[0]
    assert sample["cloudy"].shape == (3, 256, 256) and set(sample) == {"cloudy", "clear", "name"}
    psnr = np.mean([-10 * np.log10(((s["cloudy"] - s["clear"]) ** 2).mean() / 4) for s in _each(module.test_dataset)])
    assert abs(psnr - {1: 18.151, 2: 24.171}[version]) < 0.01  # as measured apart from this code, of the cloudy images


def _each(dataset):
    return (dataset[index] for index in range(len(dataset)))


def test_real_rice_record_is_that_of_the_split_file(shared):
    module = RICE(shared / "data" / "rice1", val=None)
    module.setup()
    split = json.loads((shared / "data" / "rice1" / "split.json").read_text())
    assert module.split_record() == {
        part: {"count": len(split[part]), "digest": digest(split[part]), "split": "split.json"} for part in split
    }


def test_rice2_masks_and_an_opacity_band(make_pairs):
    root = make_pairs("RICE2", bands=4, mask=True)
    (root / "split.json").write_text(json.dumps({"train": ["1", "2"], "test": ["10"]}))
    dataset = RICEDataset(root.parent, "test", version=2)
    assert dataset.bands == 3  # the fourth band of a converted copy is no colour
    assert dataset[0]["mask"].mean() == 0.5
    assert "mask" not in RICEDataset(root, "test", version=1)[0]


def test_rice_says_what_it_needs(tmp_path, make_pairs):
    with pytest.raises(UserError, match="version=3: RICE has versions 1"):
        RICEDataset(tmp_path, version=3)
    with pytest.raises(UserError, match=r"no folders cloud/ and label/, or RICE1/: give the folder"):
        RICEDataset(tmp_path)
    root = make_pairs()
    with pytest.raises(UserError, match=r"no split split.json.*cuhk_cr1_test_dedup98.*declouds data split"):
        RICEDataset(root)


# -- CUHK-CR, both layouts -------------------------------------------------------------------------------------------

TRAIN, TEST = [str(n) for n in range(1, 7)], ["1", "2", "3"]


def make_cuhk(make_pairs, top, nir, name="CUHK-CR1"):
    """Lay out a tiny CUHK-CR; nir is 'archive', 'code' (where the official code looks) or None."""
    for part, names in (("train", TRAIN), ("test", TEST)):
        folder = make_pairs(f"{top}/{name}/{part}", names)
        place = {"archive": f"{top}/nir/{name}/{part}", "code": f"{top}/{name}/{part}/nir"}.get(nir)
        if place:
            root = make_pairs(place, names, bands=1)
            for path in root.glob("*/*.png"):
                write_image(path, np.repeat(read_image(path), 3, axis=0), overwrite=True)
    return folder.parents[1]


@pytest.mark.parametrize("nir", ["archive", "code"])
@pytest.mark.parametrize("top", ["C-CUHK", "C-CUHK - 副本"])
@pytest.mark.parametrize("above", [False, True])
def test_cuhk_cr_layouts(make_pairs, top, nir, above):
    root = make_cuhk(make_pairs, top, nir)
    module = CUHKCR(root.parent if above else root, nir=True, val="test")
    module.setup()
    assert (len(module.train_dataset), len(module.test_dataset), module.bands) == (6, 3, 4)
    assert module.band_names == ("red", "green", "blue", "nir")
    sample = module.test_dataset[1]
    assert sample["name"] == "2" and sample["clear"].shape == (4, 16, 24)
    rgb = read_image(root / "CUHK-CR1" / "test" / "label" / "2.png")
    place = root / "nir" / "CUHK-CR1" / "test" if nir == "archive" else root / "CUHK-CR1" / "test" / "nir"
    infrared = read_image(place / "label" / "2.png")[:1]
    np.testing.assert_allclose(sample["clear"].numpy(), np.concatenate([rgb, infrared]) / 127.5 - 1, atol=1e-6)


def test_cuhk_cr_without_infrared_and_thick(make_pairs):
    root = make_cuhk(make_pairs, "C-CUHK", None, name="CUHK-CR2")
    module = CUHKCR(root, cloud="thick", val=0.5)
    module.setup()
    assert module.bands == 3 and module.band_names == ("red", "green", "blue")
    assert (len(module.train_dataset), len(module.val_dataset), len(module.test_dataset)) == (3, 3, 3)
    with pytest.raises(UserError, match=r"nir=True, but neither .* nor .* exists"):
        CUHKCRDataset(root, cloud="thick", nir=True)
    with pytest.raises(UserError, match="no folder CUHK-CR1/: give the folder C-CUHK"):
        CUHKCRDataset(root, cloud="thin")
    with pytest.raises(UserError, match="'fog': CUHK-CR has 'thin'"):
        CUHKCRDataset(root, cloud="fog")


def test_cuhk_cr_with_a_hole_in_the_infrared(make_pairs):
    root = make_cuhk(make_pairs, "C-CUHK", "archive")
    (root / "nir" / "CUHK-CR1" / "test" / "cloud" / "2.png").unlink()
    with pytest.raises(UserError, match=r"images without a partner, only in .*test/cloud: 2"):
        CUHKCRDataset(root, "test", nir=True)
    assert len(CUHKCRDataset(root, "test")) == 3


def test_cuhk_cr_unpacked_twice(make_pairs):
    root = make_cuhk(make_pairs, "C-CUHK", None)
    make_cuhk(make_pairs, "C-CUHK - 副本", None)
    with pytest.raises(UserError, match="CUHK-CR1 is in C-CUHK, C-CUHK - 副本: give one of these folders"):
        CUHKCRDataset(root.parent)


REPEATS = "1 2 24 35 41 43 45 47 48 51 52 54 91 102".split()
REPEATS += [str(n) for start, end in ((56, 65), (67, 70), (74, 81)) for n in range(start, end + 1)]


def test_the_shipped_split_leaves_out_the_36_repeats(tmp_path):
    assert "cuhk_cr1_test_dedup98" in shipped_splits()
    split = find_split("cuhk_cr1_test_dedup98", tmp_path)
    assert set(split.parts) == {"test"}
    assert len(REPEATS) == 36 and len(split.parts["test"]) == 98
    assert set(split.parts["test"]) | set(REPEATS) == {str(n) for n in range(1, 135)}
    assert digest(split.parts["test"]) == digest(n for n in map(str, range(1, 135)) if n not in REPEATS)


def test_the_shipped_split_leaves_training_whole(make_pairs):
    names = [str(n) for n in range(1, 135)]
    make_pairs("C-CUHK/CUHK-CR1/train", TRAIN, size=(8, 8))
    root = make_pairs("C-CUHK/CUHK-CR1/test", names, size=(8, 8)).parents[1]
    module = CUHKCR(root, split="cuhk_cr1_test_dedup98", val=None)
    module.setup()
    assert len(module.train_dataset) == 6 and len(module.test_dataset) == 98
    assert module.split_record()["test"]["split"] == "cuhk_cr1_test_dedup98"
    with pytest.raises(UserError, match="lists test images that do not exist: 110"):
        for name in ("110", "111"):
            for side in ("cloud", "label"):
                (root / "CUHK-CR1" / "test" / side / f"{name}.png").unlink()
        CUHKCRDataset(root, "test", split="cuhk_cr1_test_dedup98")
