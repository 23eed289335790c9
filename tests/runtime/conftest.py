from pathlib import Path

import pytest
from export_cases import exported as write_export
from export_cases import needed, save_untrained


@pytest.fixture(scope="session")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("onnx", "onnxruntime")
    untrained = save_untrained(tmp_path_factory.mktemp("untrained"))
    return write_export(untrained, tmp_path_factory.mktemp("exported") / "onnx")
