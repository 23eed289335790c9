from pathlib import Path

import pytest
from PIL import Image

from dmaskrcnn.training.curves import plot_curves


@pytest.mark.parametrize("domain", [True, False])
def test_curves_of_runs_with_and_without_a_domain_loss(tmp_path: Path, domain: bool):
    (tmp_path / "a.csv").write_text(
        "iteration,phase,lr,detection/mask,detection/classifier\n20,train,0.1,1,2\n40,fine,0.01,0.5,1\n"
    )
    files = {"source": tmp_path / "a.csv"}
    if domain:  # the first phase has no detection loss
        (tmp_path / "b.csv").write_text(
            "iteration,phase,lr,alignment/domain,domain_accuracy,detection/mask\n"
            "20,classifier,0.1,0.7,0.5,\n40,adapt,0.1,0.69,0.6,2\n"
        )
        files["grl"] = tmp_path / "b.csv"
    plot_curves(files, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height * (4 if domain else 2)


def test_a_run_without_rows(tmp_path: Path):
    (tmp_path / "a.csv").write_text("iteration,phase,lr,detection/mask\n")
    plot_curves({"source": tmp_path / "a.csv"}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0
