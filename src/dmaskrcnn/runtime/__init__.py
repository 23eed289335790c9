"""Exported detectors, run by ONNX Runtime or OpenVINO. Needs no torch; `export` writes them."""
