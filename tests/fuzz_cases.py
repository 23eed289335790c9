"""Files of every kind that is read: each function takes a folder, writes a file there, and gives
its path, how it is damaged, and its reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from damage import (
    Damage,
    damaged_bytes,
    damaged_json,
    damaged_npz,
    damaged_torch,
    damaged_yaml,
)
from data_files import coco_object, write_coco, write_image
from PIL import Image

from dmaskrcnn.compare.comparison import load_comparison
from dmaskrcnn.compare.rows import compare
from dmaskrcnn.compare.tables import markdown
from dmaskrcnn.config.train import TrainConfig, read_yaml
from dmaskrcnn.data import open_dataset, open_images
from dmaskrcnn.data.image import decode_image, image_size
from dmaskrcnn.data.rle import encode
from dmaskrcnn.dehazing.dehazer import Dehazer
from dmaskrcnn.dehazing.pretrained import shipped_weights
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.weights import read_state
from dmaskrcnn.evaluation.results_json import load_results
from dmaskrcnn.haze.depth_maps import DepthMaps
from dmaskrcnn.metrics_csv import read_metrics
from dmaskrcnn.output_folder import OutputFolder
from dmaskrcnn.run import Run
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.log import Metrics

PACKED = encode(np.eye(8, 9) > 0)  # run lengths as text


def coco(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    write_image(folder / "a.png", 8, 9)
    counts = {"size": [8, 9], "counts": [10, 5, 57]}
    objects = [[[1, 1, 5, 1, 5, 6]], counts, PACKED, []]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 9}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 3, "bbox": [1, 1, 4, 5], "segmentation": mask}
            for i, mask in enumerate(objects)
        ],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(content))

    def read() -> None:
        data = open_dataset(path)
        for image in range(len(data)):
            data.load(image)
        open_images(path)

    return path, damaged_json, read


def voc(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    write_image(folder / "JPEGImages" / "a.png", 8, 9)
    path = folder / "Annotations" / "a.xml"
    path.parent.mkdir()
    path.write_text(
        "<?xml version='1.0' encoding='utf-8'?><annotation><size><width>9</width><height>8</height>"
        "</size><object><name>car</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>2"
        "</ymin><xmax>7</xmax><ymax>6</ymax></bndbox></object></annotation>"
    )
    return path, damaged_bytes, lambda: open_dataset(folder).load(0)


def labels_of(folder: Path) -> Callable[[], object]:
    """Opens a data set of any format, with all its objects."""

    def read() -> None:
        data = open_dataset(folder)
        for image in range(len(data)):
            data.load(image)

    return read


def yolo(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    data_yaml(folder)
    path = folder / "labels" / "a.txt"
    return path, damaged_bytes, labels_of(folder / "data.yaml")


def data_yaml(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    write_image(folder / "images" / "a.png", 8, 9)
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4\n1 0.1 0.1 0.6 0.1 0.6 0.8\n")
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump({"path": ".", "train": "images", "nc": 2, "names": ["a", "b"]}))
    return path, damaged_yaml, labels_of(path)


def cvat(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    write_image(folder / "images" / "a.png", 8, 9)
    path = folder / "annotations.xml"
    path.write_text(
        "<?xml version='1.0'?><annotations><image name='a.png' width='9' height='8'><box label='a'"
        " xtl='1' ytl='1' xbr='5' ybr='6.5'/><polygon label='b' points='1,1;6,1;6,7'/><mask "
        "label='a' rle='1,3,2' left='1' top='1' width='3' height='2'/></image></annotations>"
    )
    return path, damaged_bytes, labels_of(path)


def labelme(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    write_image(folder / "a.png", 8, 9)
    shapes = {"polygon": [[1, 1], [6, 1], [6, 7]], "rectangle": [[1, 1], [5, 6]]}
    shapes |= {"circle": [[4, 4], [4, 6]], "line": [[1, 1], [2, 2]]}
    content = {
        "shapes": [
            {"label": "a", "points": points, "shape_type": kind, "group_id": None}
            for kind, points in shapes.items()
        ],
        "imagePath": "a.png",
        "imageHeight": 8,
        "imageWidth": 9,
    }
    path = folder / "a.json"
    path.write_text(json.dumps(content))
    return path, damaged_json, labels_of(folder)


def predicted(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    path = folder / "detections.json"
    one = {"class": "car", "score": 0.5, "box": [1, 2, 4, 6], "mask": PACKED}
    images = [{"file": "a.png", "detections": [one]}]
    content = {"format": "dmaskrcnn predict 1", "complete": True, "threshold": 0.0}
    path.write_text(json.dumps(content | {"images": images}))
    size, picture = [(8, 9)], [Path("a.png")]
    return path, damaged_json, lambda: list(load_results(path, [1], {"car": 3}, size, picture))


def named_results(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    path = folder / "results.json"
    entry = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    content = {"annotations": [entry], "categories": [{"id": 1, "name": "car"}]}
    content |= {"images": [{"id": 7, "file_name": "a.png"}]}
    path.write_text(json.dumps(content))
    size, picture = [(8, 9)], [Path("a.png")]
    return path, damaged_json, lambda: list(load_results(path, [1], {"car": 3}, size, picture))


def results(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    path = folder / "results.json"
    entry = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}
    masks = [None, {"size": [8, 9], "counts": [10, 5, 57]}, PACKED]
    path.write_text(json.dumps([entry | {"segmentation": mask} for mask in masks]))
    return path, damaged_json, lambda: list(load_results(path, [1], {"car": 3}, sizes=[(8, 9)]))


def config(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    path = folder / "config.yaml"
    values = TrainConfig.from_preset("demo", source="a", target="b").to_dict()
    path.write_text(yaml.safe_dump(values))

    def read() -> None:
        _ = Run(folder).config_text, Run(folder).seedless
        TrainConfig.from_dict(read_yaml(path))

    return path, damaged_yaml, read


def saved(folder: Path, run: Path, name: str) -> Path:
    for file in ("model.json", "model.safetensors"):
        (folder / file).write_bytes((run / file).read_bytes())
    return folder / name


def description(folder: Path, run: Path) -> tuple[Path, Damage, Callable[[], object]]:
    def read() -> None:
        _ = Run(folder).weights_said, Run(folder).finished
        Detector.load(folder, "cpu")

    return saved(folder, run, "model.json"), damaged_json, read


def weights(folder: Path, run: Path) -> tuple[Path, Damage, Callable[[], object]]:
    path = saved(folder, run, "model.safetensors")
    return path, damaged_bytes, lambda: Detector.load(folder, "cpu")


def torch_weights(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    path = folder / "x.pth"
    torch.save({"a": torch.ones(3), "b": torch.ones(2, dtype=torch.float16)}, path)
    return path, damaged_torch, lambda: read_state(path)


def checkpoint(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    a = {"a": torch.ones(3)}
    Checkpoint({}, {}, 3, 2, False, False, False, 1.5, {"loss": [1.0, 2]}, a, a, {}, {}).save(
        folder
    )
    return folder / "last.pt", damaged_torch, lambda: Checkpoint.load(folder)


def metrics(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    path = folder / "metrics.csv"
    path.write_text("iteration,seconds,phase,loss\n20,1.5,adapt,0.5\n40,3,adapt,\n60,4.5,fine,1\n")

    def read() -> None:
        read_metrics(path)
        Metrics(path, keep_until=40)

    return path, damaged_bytes, read


def dehazer(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    path = folder / "x.safetensors"
    path.write_bytes(shipped_weights("aod-net").read_bytes())
    return path, damaged_bytes, lambda: Dehazer("aod-net", path)


def depth_npz(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    np.savez_compressed(folder / "x.npz", depth=np.ones((4, 6)))
    maps = DepthMaps(folder)
    return folder / "x.npz", damaged_npz, lambda: maps.read(folder / "x.npz", (4, 6))


def depth_npy(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    np.save(folder / "x.npy", np.ones((4, 6), np.float32))
    maps = DepthMaps(folder)
    return folder / "x.npy", damaged_bytes, lambda: maps.read(folder / "x.npy", (4, 6))


def depth_png(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    Image.fromarray(np.full((4, 6), 999, np.uint16)).save(folder / "x.png")
    maps = DepthMaps(folder)
    return folder / "x.png", damaged_bytes, lambda: maps.read(folder / "x.png", (4, 6))


def index(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    def read() -> None:
        output = OutputFolder(folder, "paint", "index.json")
        output.claim([Path("x.png")])

    output = OutputFolder(folder, "paint", "index.json")
    (x,) = output.claim([Path("x.png")])
    output.begin({})
    output.write(x, Path.touch)
    output.end({})
    return output.index, damaged_json, read


def comparison(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    data = write_coco(folder / "test", [coco_object(1)], images=1)
    file = folder / "r.json"
    entry = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 9, 7], "score": 0.5}
    file.write_text(json.dumps([entry]))
    compare([file], [data], out=folder / "out", bootstrap=5)

    def read() -> None:
        markdown(load_comparison(folder / "out"))

    return folder / "out" / "comparison.json", damaged_json, read


def resamples(folder: Path) -> tuple[Path, Damage, Callable[[], object]]:
    _, _, read = comparison(folder)
    return folder / "out" / "comparison.safetensors", damaged_bytes, read


def picture(folder: Path, suffix: str) -> tuple[Path, Damage, Callable[[], object]]:
    path = folder / f"x{suffix}"
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    options = {} if suffix in (".bmp", ".ppm") else {"exif": exif}
    Image.fromarray(np.arange(1536, dtype=np.uint8).reshape(16, 32, 3)).save(path, **options)

    def read() -> None:
        image_size(path)
        decode_image(path)

    return path, damaged_bytes, read


READERS: dict[str, Callable[..., tuple[Path, Damage, Callable[[], object]]]] = {
    made.__name__: made
    for made in (
        *(coco, voc, results, config, torch_weights, checkpoint, metrics, dehazer, depth_npz),
        *(depth_npy, depth_png, index, description, weights, comparison, resamples),
        *(yolo, data_yaml, cvat, labelme, predicted, named_results),
    )
}
PICTURES = (".png", ".jpg", ".webp", ".tif", ".bmp", ".ppm")
