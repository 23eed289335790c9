"""`serve` and `app` before they start: what is missing, what is wrong."""

from __future__ import annotations

import sys

import pytest

from dmaskrcnn.extras import install_command


@pytest.mark.parametrize(
    ("verb", "module"), [("serve", "fastapi"), ("serve", "uvicorn"), ("app", "gradio")]
)
def test_a_missing_extra_is_named(verb, module, run, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    said = fails(verb, run, "--port", 0)
    assert said == f"{verb}: needs the package {module}: {install_command(verb)}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--queue", 0), "--queue must be above 0, got 0"),
        (("--timeout", -1), "--timeout must be above 0, got -1.0"),
        (("--threshold", 1.5), "--threshold must be in [0, 1], got 1.5"),
        (
            ("--clear", "none", "--haze-thresholds", 0.9, 0.1),
            "--haze-thresholds must be two numbers from 0 to 1",
        ),
        (("--batch-size", 0), "--batch-size must be above 0, got 0"),
    ],
)
def test_limits_that_are_none(words, said, run, fails):
    pytest.importorskip("fastapi", reason="needs dmaskrcnn[serve]")
    assert fails("serve", run, "--port", 0, *words).startswith(said)


@pytest.mark.parametrize("verb", ["serve", "app"])
def test_a_run_that_is_none(verb, tmp_path, fails):
    pytest.importorskip("gradio" if verb == "app" else "fastapi", reason=f"needs dmaskrcnn[{verb}]")
    assert "no such run folder" in fails(verb, tmp_path / "none", "--port", 0)
    assert fails(verb, "--port", 0) == "no run given; name one or more run folders"
