"""The recipes of docs/methods.md that turn what other libraries find into labels of the target,
each run to the end of an adaptation. The libraries' results are made here, in their forms."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from run_files import rows

from dmaskrcnn.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
WIDTH, HEIGHT = 96, 64
BOX = [10.0, 12.0, 40.0, 30.0]
CAR, PERSON = 2, 0  # of the 80 classes counted from 0
NAMES = {PERSON: "person", CAR: "car"}
Adapt = Callable[[str], list[dict]]


def recipes() -> dict[str, str]:
    """The blocks of Python by the first word of the line before each."""
    text = PAGE.read_text(encoding="utf-8")
    text = text[text.index("**From other libraries.**") : text.index("Whether such a detector")]
    found = re.findall(r"(?:^|\n\n)([^\n`]\S*)[^\n]*(?:\n[^\n]+)*\n\n```py\n(.*?)```", text, re.S)
    return {word.strip("*, "): code for word, code in found}


@pytest.fixture
def adapt(clear: Path, hazy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adapt:
    """Adapt with the labels of a file in a folder with the pictures, as COCO results."""
    monkeypatch.chdir(tmp_path)
    Path("hazy").mkdir()
    for picture in sorted((hazy / "images").iterdir()):
        Image.open(picture).convert("RGB").save(Path("hazy", picture.stem + ".jpg"))

    def run(labels: str) -> list[dict]:
        options = "--preset demo --iterations 2 --batch 2 --image-size 64 --max-size 96"
        options += " --fpn-channels 16 --burn-in 0 --workers 0 --device cpu --warmup 1"
        words = ["adapt", "--source", str(clear), "--target", "hazy", "--pseudo-labels", labels]
        main([*words, *options.split()])
        assert float(rows(Path("runs/adapt-1"))[-1]["pseudo_labels"]) >= 1
        return json.loads(Path("found.json").read_text())

    return run


def frame() -> np.ndarray:
    mask = np.zeros((1, HEIGHT, WIDTH), dtype=bool)
    mask[0, 12:30, 10:40] = True
    return mask


class Boxes(SimpleNamespace):
    """Of ultralytics: as many as there are classes."""

    def __len__(self) -> int:
        return len(self.cls)


class Instances:
    """Of detectron2: fields of equal length."""

    def __init__(self, **fields) -> None:
        vars(self).update(fields)

    def has(self, name: str) -> bool:
        return hasattr(self, name)

    def to(self, device: str) -> Instances:
        return self

    def __len__(self) -> int:
        return len(self.scores)


def ultralytics(masks: bool) -> dict:
    boxes = Boxes(cls=torch.tensor([2.0]), conf=torch.tensor([0.9]), xyxy=torch.tensor([BOX]))
    seen = SimpleNamespace(boxes=boxes, masks=None)
    if masks:
        seen.masks = SimpleNamespace(data=torch.from_numpy(frame()).float())
    seen.cpu = lambda: seen

    class Model:
        names = NAMES

        def __call__(self, path: Path, conf: float, retina_masks: bool) -> list:
            assert path.is_file()
            assert retina_masks
            return [seen]

    return {"model": Model()}


def rf_detr(masks: bool) -> dict:
    supervision = pytest.importorskip("supervision", reason="needs the extra `track`")
    seen = supervision.Detections(
        xyxy=np.array([BOX]),
        confidence=np.array([0.9]),
        class_id=np.array([3]),
        mask=frame() if masks else None,
        data={"class_name": np.array(["car"])},
    )
    return {"model": SimpleNamespace(predict=lambda path, threshold: seen)}


def torchvision(masks: bool) -> dict:
    """The library itself, with weights that see cars everywhere."""
    from torchvision.models import detection

    build = detection.maskrcnn_resnet50_fpn if masks else detection.fasterrcnn_resnet50_fpn
    sizes = {"min_size": 64, "max_size": 96, "box_detections_per_img": 3}
    torch.manual_seed(0)
    model = build(weights=None, weights_backbone=None, num_classes=3, **sizes).eval()
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.bias.copy_(torch.tensor([0.0, 0, 5]))
    usual = detection.MaskRCNN_ResNet50_FPN_V2_Weights.DEFAULT
    meta = {"categories": ["__background__", "person", "car"]}
    return {"model": model, "weights": SimpleNamespace(meta=meta, transforms=usual.transforms)}


def detectron2(masks: bool) -> dict:
    pytest.importorskip("cv2", reason="needs OpenCV")
    seen = Instances(
        pred_classes=torch.tensor([CAR]),
        scores=torch.tensor([0.9]),
        pred_boxes=SimpleNamespace(tensor=torch.tensor([BOX])),
    )
    if masks:
        seen.pred_masks = torch.from_numpy(frame())
    return {"predictor": lambda picture: {"instances": seen}, "names": NAMES}


MADE = {f.__name__.replace("_", "-"): f for f in (ultralytics, rf_detr, torchvision, detectron2)}


@pytest.mark.parametrize("masks", [True, False], ids=["masks", "boxes alone"])
@pytest.mark.parametrize("library", MADE)
def test_recipe(adapt: Adapt, library: str, masks: bool):
    code = recipes()
    names = MADE[library](masks)
    for part in ("From", library, "At"):
        exec(compile(code[part], f"{PAGE}: {part}", "exec"), names)
    found = adapt("found.json")
    assert {one["image_id"] for one in found} == {path.stem for path in Path("hazy").iterdir()}
    assert {one["category_name"] for one in found} == {"car"}
    if library != "torchvision":
        assert found[0]["bbox"] == [10.0, 12.0, 30.0, 18.0]
    assert all(("segmentation" in one) == masks for one in found)
    if masks:
        from faster_coco_eval.core.mask import decode

        mask = decode(found[0]["segmentation"])
        assert mask.shape == (HEIGHT, WIDTH)
        if library != "torchvision":
            assert np.array_equal(mask, frame()[0])


def detectrons_own(category: int) -> list[dict]:
    """``coco_instances_results.json``: numbers, and run lengths."""
    return [
        {"image_id": number, "category_id": category, "bbox": [10, 12, 30, 18], "score": 0.9}
        for number in range(1, 7)
    ]


def test_file_of_detectron2_beside_the_one_that_names_the_pictures(adapt: Adapt):
    pictures = [
        {"id": number, "file_name": path.name, "height": HEIGHT, "width": WIDTH}
        for number, path in enumerate(sorted(Path("hazy").iterdir()), 1)
    ]
    content = {"images": pictures, "categories": [{"id": 7, "name": "car"}]}
    Path("hazy.json").write_text(json.dumps(content))
    Path("coco_instances_results.json").write_text(json.dumps(detectrons_own(7)))
    exec(compile(recipes()["Where"], str(PAGE), "exec"), {})
    adapt("found.json")


def test_ids_of_coco_without_names(adapt: Adapt):
    entries = detectrons_own(3)  # COCO's car; of the source, another class
    for entry, path in zip(entries, sorted(Path("hazy").iterdir()), strict=True):
        entry["image_id"] = path.stem
    Path("found.json").write_text(json.dumps(entries))
    adapt("found.json:coco")
