from pathlib import Path

import pytest
from matplotlib.figure import Figure
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


def test_a_second_round_goes_on_where_the_first_ended(tmp_path: Path, monkeypatch):
    for name, last in (("a", 40), ("b", 30)):
        rows = f"iteration,phase,lr,detection/mask\n20,adapt,0.1,1\n{last},adapt,0.1,0.5\n"
        (tmp_path / f"{name}.csv").write_text(rows)
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    monkeypatch.setattr("dmaskrcnn.training.curves.atomic_write", lambda out, write: write(out))
    files = {"round 1": tmp_path / "a.csv", "round 2": tmp_path / "b.csv"}
    for joined, second in ((True, [60, 70]), (False, [20, 30])):
        plot_curves(files, tmp_path / "curves.png", joined)
        lines = drawn.pop().axes[0].lines
        assert [list(line.get_xdata()) for line in lines] == [[20, 40], second]


def test_a_run_without_rows(tmp_path: Path):
    (tmp_path / "a.csv").write_text("iteration,phase,lr,detection/mask\n")
    plot_curves({"source": tmp_path / "a.csv"}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0
