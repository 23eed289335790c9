import json

from dmaskrcnn.cli.main import main
from dmaskrcnn.evaluation.evaluate import evaluate
from dmaskrcnn.training.loop import resume, train


def test_a_training_scores_the_images_it_was_given(tiny, clear, capsys):
    run = train(tiny(method="source", iterations=1, test=clear))
    out = run / f"evaluate-{clear.parent.name}-{clear.name}"
    said = capsys.readouterr().out
    assert said.startswith(f"{run} (averaged weights (EMA), iteration 1)\n6 images")
    assert said.endswith(f"predictions and scores: {out}\n\n")
    scores = json.loads((out / "scores.json").read_text())
    assert {"scored": scores["scored"], **evaluate(run, clear).to_dict()} == scores
    resume(run)
    assert capsys.readouterr().out == said
    main(["train", "--resume", str(run)])
    assert capsys.readouterr().out == f"{said}{run}\n"


def test_without_images_it_says_nothing(tiny, capsys):
    run = train(tiny(method="source", iterations=1))
    assert capsys.readouterr().out == ""
    assert not list(run.glob("evaluate-*"))
