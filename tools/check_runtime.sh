#!/usr/bin/env bash
# Builds dmaskrcnn-runtime, installs it without torch in an environment of its own, and runs it there:
#
#     tools/check_runtime.sh EXPORTED PICTURE [onnx|openvino]
#     tools/check_runtime.sh    # with a rendered street, and a detector that has learnt nothing
#
# EXPORTED is a folder of `dmaskrcnn export`. Needs a package index; leaves nothing behind.
set -euo pipefail
here=$(realpath "$(dirname "$0")/..")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ $# = 0 ]; then
    uv run --project "$here" --group dev python - "$scratch" <<'EOF'
import sys
from pathlib import Path

from PIL import Image

from dmaskrcnn import Detector, DetectorConfig
from dmaskrcnn.demo import render_scene
from dmaskrcnn.export.write import export_detector
from dmaskrcnn.run import Run

folder = Path(sys.argv[1])
(folder / "run").mkdir()
config = DetectorConfig(backbone="resnet18", fpn_channels=16, image_size=64, max_size=96)
Detector(("car", "person"), config).save(folder / "run")
street = render_scene(0, 64, 96).image
Image.fromarray(street).save(folder / "street.png")
export_detector(Run(folder / "run"), folder / "exported", [street])
EOF
    set -- "$scratch/exported" "$scratch/street.png"
fi
exported=$(realpath "$1") picture=$(realpath "$2") runtime=${3:-onnx}
unset PYTHONPATH

python3 -m venv "$scratch/venv"
empty=$(du -sm "$scratch/venv" | cut -f1)
"$scratch/venv/bin/pip" install --quiet --no-compile "$here/runtime[$runtime]"
megabytes=$(($(du -sm "$scratch/venv" | cut -f1) - empty))
echo "dmaskrcnn-runtime[$runtime]: $megabytes MB installed"
test "$megabytes" -lt 400 || { echo "more than 400 MB" >&2; exit 1; }

cd "$scratch"  # no checkout on the path
if venv/bin/python -c "import torch" 2>/dev/null; then
    echo "torch is there" >&2
    exit 1
fi
venv/bin/dmaskrcnn-runtime version
time venv/bin/dmaskrcnn-runtime predict "$exported" "$picture" --out found --threshold 0.05
venv/bin/python - "$exported" "$picture" <<'EOF'
import json
import sys

from dmaskrcnn.export import load

found = load(sys.argv[1]).predict(sys.argv[2], threshold=0.05)
with open("found/detections.json", encoding="utf-8") as file:
    written = json.load(file)["images"][0]["detections"]
assert len(written) == len(found), (len(written), len(found))
print(found)
EOF
