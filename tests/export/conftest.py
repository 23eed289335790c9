from pathlib import Path

import pytest
from export_cases import exported as write_export
from export_cases import needed, save_untrained


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="session")
def onnx_folder(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("onnx", "onnxruntime")
    return write_export(untrained, tmp_path_factory.mktemp("exported") / "onnx")


@pytest.fixture(scope="session")
def openvino_folder(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("onnx", "openvino")
    return write_export(untrained, tmp_path_factory.mktemp("exported") / "ov", "openvino")
