"""Small real files of every kind this program reads, to be spoilt: by mutation here, by fuzzing in `fuzz/`."""

import io
import json
import pickle
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catsdogs.cleaning import suspect_table
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.files import hdf5
from catsdogs.networks import pth, trained
from catsdogs.photographs import filetypes, stamps, tfexample, tfrecord
from catsdogs.photographs.task import Task
from catsdogs.runs.run_card import RUN_FORMAT, Run
from catsdogs.scoring.calibration import Calibration
from catsdogs.scoring.grades import Grade
from catsdogs.scoring.training_plan import NEWEST
from tests.support import formats
from tests.support.datasets import jpeg
from tests.support.features import recipe, rows_of, table

Files = dict[str, bytes]
FEATURES = "ResNet50.h5"
_PACKED = {"chunks": (8, 3), "compression": "gzip", "shuffle": True, "fletcher32": True}


def pictures() -> Files:
    """Every flavour of the formats that are read, by the name each would have as a file."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((80, 60), Image.Resampling.BICUBIC)
    deep = Image.fromarray(rng.integers(0, 65536, (60, 80), np.uint16))
    clear = coarse.convert("RGBA")
    clear.putalpha(coarse.convert("L"))
    exif = Image.Exif()
    exif[274], exif[270], exif[305] = 6, "a cat", "a camera"
    exif.get_ifd(0x8769).update({36867: "2018:09:24 12:00:00", 37386: 3.5})

    def animated(**options: object) -> dict[str, object]:
        return {"save_all": True, "append_images": [coarse.rotate(90 * turn) for turn in range(1, 4)], **options}

    flavours: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "plain.jpg": (coarse, "JPEG", {}),
        "progressive.jpg": (coarse, "JPEG", {"progressive": True, "exif": exif}),
        "grey.jpg": (coarse.convert("L"), "JPEG", {"restart_marker_rows": 1}),
        "cmyk.jpg": (coarse.convert("CMYK"), "JPEG", {}),
        "full-colour.jpg": (coarse, "JPEG", {"subsampling": 0, "optimize": True}),
        "several.mpo.jpg": (coarse, "MPO", animated()),
        "plain.png": (coarse, "PNG", {"exif": exif}),
        "clear.png": (clear, "PNG", {}),
        "palette.png": (coarse.convert("P"), "PNG", {"transparency": 3}),
        "deep.png": (deep, "PNG", {}),
        "bits.png": (coarse.convert("1"), "PNG", {}),
        "animated.png": (coarse, "PNG", animated()),
        "plain.gif": (coarse, "GIF", {}),
        "animated.gif": (coarse, "GIF", animated(transparency=0, disposal=2)),
        "interlaced.gif": (coarse, "GIF", {"interlace": True, "comment": b"a cat"}),
        "plain.webp": (coarse, "WEBP", {"exif": exif}),
        "lossless.webp": (clear, "WEBP", {"lossless": True}),
        "animated.webp": (coarse, "WEBP", animated()),
        "plain.tif": (coarse, "TIFF", {}),
        "lzw.tif": (coarse, "TIFF", {"compression": "tiff_lzw"}),
        "deflated.tif": (clear, "TIFF", {"compression": "tiff_deflate"}),
        "jpeg.tif": (coarse, "TIFF", {"compression": "jpeg"}),
        "fax.tif": (coarse.convert("1"), "TIFF", {"compression": "group4"}),
        "packed.tif": (coarse.convert("P"), "TIFF", {"compression": "packbits"}),
        "deep.tif": (deep, "TIFF", {}),
        "several.tif": (coarse, "TIFF", animated()),
        "big.tif": (coarse, "TIFF", {"big_tiff": True}),
        "plain.bmp": (coarse, "BMP", {}),
        "palette.bmp": (coarse.convert("P"), "BMP", {}),
        "bits.bmp": (coarse.convert("1"), "BMP", {}),
        "clear.bmp": (clear, "BMP", {}),
        "float.tif": (Image.fromarray(np.asarray(deep, np.float32)), "TIFF", {}),
    }
    if "AVIF" in filetypes.FORMATS:
        flavours |= {"plain.avif": (coarse, "AVIF", {"exif": exif}), "clear.avif": (clear, "AVIF", {})}
    if "JPEG2000" in filetypes.FORMATS:
        tiled = {"tile_size": (32, 32), "tile_offset": (0, 0), "num_resolutions": 3}
        flavours |= {"plain.jp2": (coarse, "JPEG2000", {}), "tiled.j2k": (coarse, "JPEG2000", tiled | {"no_jp2": True})}
    made = {}
    for name, (image, format, options) in flavours.items():
        buffer = io.BytesIO()
        image.copy().save(buffer, format, **options)  # saving leaves its settings on the image
        made[name] = buffer.getvalue()
    tile = zlib.compress(rng.integers(0, 256, 64 * 80, np.uint8).tobytes())
    layout = {"tile_width": 80, "tile_length": 64, "tile_offset": formats.ZLIB_OF_ZEROS, "tile_bytes": len(tile)}
    made["tiled.tif"] = (
        formats.tiff(formats.grey(80, 60, formats.DEFLATE, **layout)).ljust(formats.ZLIB_OF_ZEROS) + tile
    )
    runs = b"".join(bytes((80, colour, 0, 0)) for colour in range(60)) + b"\0\1"
    made["runs.bmp"] = _run_length_bmp(runs)
    return made


def _run_length_bmp(runs: bytes) -> bytes:
    start = 14 + 40 + 1024
    header = struct.pack("<IiiHHIIiiII", 40, 80, 60, 1, 8, 1, len(runs), 0, 0, 256, 0)
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + palette + runs


def zips() -> Files:
    """Kaggle's layout packed, stored and deflated; and with a sample submission and a table of labels."""
    names = ["train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg", "test/1.jpg", "test/2.jpg"]
    photographs = {name: jpeg(seed, (40, 30)) for seed, name in enumerate(names)}
    tabled = {name.rpartition("/")[2]: data for name, data in photographs.items()}
    return {
        "stored.zip": _zip(photographs, zipfile.ZIP_STORED),
        "deflated.zip": _zip(photographs | {"sample_submission.csv": SAMPLE}, zipfile.ZIP_DEFLATED),
        "tabled.zip": _zip(tabled | {"labels.csv": LABELS}, zipfile.ZIP_DEFLATED),
    }


def _zip(members: Mapping[str, bytes], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


IDS = ("cat.0", "cat.1", "dog.0", "dog.1")
LABELS = b"id,breed\ncat.0,cat\ncat.1,cat\ndog.0,dog\ndog.1,dog\n"
SAMPLE = b"id,label\n1,0.5\n2,0.5\n"
TRUTH = b"id,label\n1,cat\n2,dog\n"
SUBMISSION = b"id,label\n1,0.005\n2,0.995\n"
DECISIONS = b"\xef\xbb\xbfid,decision,label,when\r\ncat.0,keep,,2018-09-24T12:00:00+00:00\r\ndog.1,relabel,cat,\r\n"
OUT_OF_FOLD = b"id,label,p_dog,fold,dropped,relabelled\n" + b"".join(
    f"{id},{id[:3]},{0.9 if id[0] == 'd' else 0.1},{row % 2 + 1},,\n".encode() for row, id in enumerate(IDS)
)
SUSPECTS = (
    ",".join(suspect_table.SUSPECT_COLUMNS).encode()
    + b'\ntrain,cat.0,cat,0.9120,2,3,"Lite0: tabby 0.81, lynx 0.10; Lite1: laptop 0.9","no pet: laptop; label: dog"\n'
)
LEARNT = b"id,digest,label,fold,p_dog\n" + b"".join(
    f"{id},{row + 2**63:016x},{id[:3]},{row % 2 + 1},0.5\n".encode() for row, id in enumerate(IDS)
)


def run() -> Run:
    """The run that `OUT_OF_FOLD` is of."""
    return Run(
        name="mean", created="2018-09-24T12:00:00+00:00", command="catsdogs train", package_version="0.1.0",
        versions={"python": "3.11.7"}, head="logistic", head_digest="", settings={"C": 1.0}, seed=2018, folds=2,
        features="features", backbones={"ResNet50": asdict(recipe())}, rows_digest="ab" * 32, widths=(3,),
        classes=("cat", "dog"), prior=(0.5, 0.5), source="data", train_rows=4, test_rows=2, protocol="",
        dropped=(), relabelled={"dog.1": "cat"}, calibration=Calibration(1.2, 0.005),
        scores=(Grade(0.01, 0.001, 0.99, 4, "out of fold"),), unreadable={"3": "the file is empty"},
        task=Task.of_classes(("cat", "dog")),
    )  # fmt: skip


def run_card() -> bytes:
    return json.dumps({"format": RUN_FORMAT, "version": NEWEST, **asdict(run())}, indent=1).encode()


def network_card() -> bytes:
    card = trained.Card(
        name="mine", created="2018-09-24T12:00:00+00:00", command="catsdogs finetune", package_version="0.1.0",
        base="EfficientNetLite0", base_weights="ab" * 32, input_size=224, unfreeze="all", tricks=("mixup",), teacher="",
        classes=("cat", "dog"), folds=2, seed=2018, epochs=3, batch_size=32, rate=1e-3, source="data",
        weights={"all": "cd" * 32, "fold-1": "ef" * 32, "fold-2": "01" * 32}, learnt="23" * 32, scores=("well",),
    )  # fmt: skip
    return json.dumps({"format": trained.FORMAT, "version": trained.VERSION, **asdict(card)}, indent=1).encode()


def messages() -> list[bytes]:
    """Examples as this program, TensorFlow's own data sets and Kaggle's competitions write them."""
    return [
        tfexample.encode_example({"id": b"cat.0", "class": b"cat", "label": 0, "image": jpeg(0, (40, 30))}),
        tfexample.encode_example(
            {"image/filename": b"dogs/1.jpg", "image/class/label": 1, "image/encoded": jpeg(1, (40, 30))}
        ),
        tfexample.encode_example({"image_name": b"3", "target": -1, "image": jpeg(2, (40, 30))}),
    ]


def shard() -> bytes:
    return b"".join(map(tfrecord.frame, messages()))


def manifest(data: bytes) -> bytes:
    """That of a set whose only shard is `data`."""
    shard = {"file": "train-00000-of-00001.tfrecord", "split": "train", "rows": 3, "bytes": len(data), "sha256": "ab"}
    content = {
        "format": tfrecord.SET_FORMAT,
        "version": tfrecord.SET_VERSION,
        "classes": ["cat", "1", ""],
        "shards": [shard],
    }
    return json.dumps(content, indent=1).encode()


def legacy_pth(tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """What `torch.save` wrote before it wrote zips, opcode by opcode: see torch/serialization.py, `_legacy_save`."""
    head = pickle.dumps(pth.MAGIC_NUMBER, 2) + pickle.dumps(pth.PROTOCOL_VERSION, 2)
    head += pickle.dumps({"protocol_version": pth.PROTOCOL_VERSION, "little_endian": True, "type_sizes": {}}, 2)
    state = b"\x80\x02ccollections\nOrderedDict\nq\x00)R("
    for key, (name, values) in enumerate(tensors.items()):
        strides = [stride // values.itemsize for stride in values.strides]
        state += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        state += _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(key)) + _text("cpu") + _int(values.size)
        state += (
            b"NtQK\x00(" + b"".join(map(_int, values.shape)) + b"t(" + b"".join(map(_int, strides)) + b"t\x89h\x00)RtR"
        )
    storages = b"".join(struct.pack("<q", values.size) + values.tobytes("A") for values in tensors.values())
    return head + state + b"u." + pickle.dumps([str(key) for key in range(len(tensors))], 2) + storages


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def pths() -> Files:
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    return {
        "small.pth": legacy_pth({"conv.weight": values, "conv.bias": values[0].copy(), "fc.weight": values.copy().T})
    }


def tables() -> Files:
    """Every CSV that is read, under the name that says which it is."""
    return {
        "labels.csv": LABELS, "sample_submission.csv": SAMPLE, "submission.csv": SUBMISSION, "truth.csv": TRUTH,
        "decisions.csv": DECISIONS, "outliers.csv": SUSPECTS, "oof.csv": OUT_OF_FOLD, "learnt.csv": LEARNT,
    }  # fmt: skip


def cards() -> Files:
    """Every JSON that is read."""
    return {"run.json": run_card(), "network.json": network_card(), "manifest.json": manifest(shard())}


def features() -> feature_file.Features:
    """Rows that fit `OUT_OF_FOLD`, with nothing behind them."""
    return feature_file.Features(
        path=Path("ResNet50.h5"), recipe=recipe(), classes=("cat", "dog"),
        ids={"train": np.array(IDS, object), "test": np.array(["1", "2"], object)}, labels=np.array([0, 0, 1, 1]),
        width=3, digests={}, topk_class={}, topk_prob={}, statistics={}, unreadable=(), source="data", learnt=0,
        task=Task.of_classes(("cat", "dog")),
    )  # fmt: skip


def sealed_files() -> Files:
    """A feature file, a shard of one and a file of stamps, as this program writes them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        entries = table(IDS, ("1", "2"))
        cache = Cache(root, recipe())
        cache.write_shard(rows_of(entries), "none")
        (written,) = root.rglob(f"{feature_file.SHARD_FOLDER}/*/*.h5")
        made = {"shard.h5": written.read_bytes()}
        cache.assemble(
            entries, ("cat", "dog"), [feature_file.Unreadable("train", "cat.9", "the file is empty")], "photographs"
        )
        made[FEATURES] = cache.path.read_bytes()
        with hdf5.writing(root / stamps.STAMPS_FILE) as file:
            file.attrs.update(format=stamps.STAMPS_FORMAT, version=stamps.STAMPS_VERSION)
            file["stamp"] = file["digest"] = np.arange(9, dtype=np.uint64)
        made[stamps.STAMPS_FILE] = (root / stamps.STAMPS_FILE).read_bytes()
        return made


def unsealed_files() -> Files:
    """A feature file of before files were sealed, an old notebook's, and one in compressed chunks."""
    values = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)

    def gap(file: h5py.File, **options: object) -> None:
        for name in feature_file.SPLITS:
            file.create_dataset(name, data=values, **options)
        file["label"] = np.arange(40) % 2

    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder, FEATURES)
        original.write_bytes(sealed_files()[FEATURES])
        with h5py.File(original) as file:
            before = _hdf5(lambda new: _copy(file, new))
    return {FEATURES: before, "gap_ResNet50.h5": _hdf5(gap), "gap_Xception.h5": _hdf5(partial(gap, **_PACKED))}


def weights_files() -> Files:
    """Weights in the layout of Keras 3, and in that of Keras 2."""

    def new(file: h5py.File) -> None:
        for name in ("conv", "dense"):
            file[f"layers/{name}/vars/0"] = np.ones((4, 6), np.float32)
            file[f"layers/{name}/vars/1"] = np.zeros(6, np.float32)

    def old(file: h5py.File) -> None:
        file.attrs["layer_names"] = [b"conv"]
        file["conv/conv/kernel:0"] = np.ones((4, 6), np.float32)
        file["conv"].attrs["weight_names"] = [b"conv/kernel:0"]

    return {"all.weights.h5": _hdf5(new), "resnet50_weights_tf_dim_ordering_tf_kernels.h5": _hdf5(old)}


def _copy(file: h5py.File, new: h5py.File) -> None:
    new.attrs.update(file.attrs)
    for name in file:
        file.copy(name, new)


def _hdf5(write: Callable[[h5py.File], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.h5")
        with h5py.File(path, "w") as file:
            write(file)
        return path.read_bytes()
