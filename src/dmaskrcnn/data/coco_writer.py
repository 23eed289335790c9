"""A data set, or some images of it, as COCO JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from faster_coco_eval.core import mask as mask_api

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.data.rle import compressed
from dmaskrcnn.errors import UserError


def to_coco(data: Dataset, images: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """The content of a COCO JSON file that ``open_dataset`` reads back with the same boxes, masks,
    flags and classes.

    Segmentations stay as they were written. ``difficult`` of Pascal VOC becomes a field of the same
    name, which COCO does not define and other readers pass over.

    Args:
        data: labelled.
        images: per image its index in the data set, and the name its file shall have.

    Raises:
        UserError: the data set is unlabelled, or a mask cannot be decoded.
    """
    objects = data.objects
    if objects is None:
        raise UserError(f"{data.paths[0]}: has no annotations to write")
    # other tools want integers
    numbered = all(isinstance(image_id, int) for image_id in data.image_ids)
    entries, annotations = [], []
    for number, (index, name) in enumerate(images, 1):
        height, width = data.size(index)
        image_id = data.image_ids[index] if numbered else number
        entries.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for row in range(int(objects.first[index]), int(objects.first[index + 1])):
            x0, y0, x1, y1 = objects.boxes[row].tolist()
            entry = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": data.category_ids[objects.labels[row]],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": int(objects.crowd[row]),
            }
            segmentation = objects.segmentation(row)
            if segmentation is not None:
                try:
                    entry["area"] = int(mask_api.area(compressed(segmentation, height, width)))
                except (RuntimeError, ValueError) as error:
                    raise UserError(
                        f"{data.paths[index]}: a mask of it cannot be decoded ({error}); correct it"
                    ) from error
                entry["segmentation"] = segmentation
            if objects.difficult[row]:
                entry["difficult"] = 1
            annotations.append(entry)
    categories = [
        {"id": number, "name": name}
        for number, name in zip(data.category_ids, data.classes, strict=True)
    ]
    return {"images": entries, "annotations": annotations, "categories": categories}
