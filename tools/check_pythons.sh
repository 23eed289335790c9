#!/usr/bin/env bash
# The wheel in every Python that it says it runs on, each in an environment of its own, away from
# the checkout:
#
#     tools/check_pythons.sh              # 3.10 to 3.14
#     tools/check_pythons.sh 3.12 3.14    # some of them
#
# In each: `dmaskrcnn --version`, the import, and objects found in a picture by an untrained
# detector. A Python that uv can neither find nor fetch is skipped, and named at the end. PyTorch
# comes for the CPU where its index can be reached, else as the package index has it.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=("${@:-3.10 3.11 3.12 3.13 3.14}")
for bin in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin; do # uv does not look there itself
    PATH="$PATH:$bin"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv build --quiet --wheel --out-dir "$work"
wheel=$(ls "$work"/*.whl)
cat >"$work/try.py" <<'PYTHON'
from pathlib import Path

from dmaskrcnn import Detector, DetectorConfig
from dmaskrcnn.demo import write_scenes

small = DetectorConfig(backbone="resnet18", fpn_channels=16, image_size=64, max_size=96)
Detector(("car", "person"), small).save(Path("run"))
write_scenes(Path("scenes"), 1, seed=1, size=(64, 96))
PYTHON

ran=() skipped=()
for version in ${wanted[*]}; do
    home="$work/$version"
    if ! uv venv --quiet --python "$version" "$home/env" 2>/dev/null; then
        skipped+=("$version")
        continue
    fi
    export VIRTUAL_ENV="$home/env"
    uv pip install --quiet --torch-backend cpu "$wheel" 2>/dev/null || uv pip install --quiet "$wheel"
    (
        cd "$home"
        PATH="$home/env/bin:$PATH"
        mkdir -p run
        dmaskrcnn --version
        python -W error::SyntaxWarning "$work/try.py"
        dmaskrcnn predict run scenes/images --out found --threshold 0
        test -s found/detections.json
    )
    ran+=("$("$home/env/bin/python" --version)")
    rm -rf "$home"
done
echo "ran: ${ran[*]:-none}; skipped, no such Python here: ${skipped[*]:-none}"
test "${#ran[@]}" -gt 0
