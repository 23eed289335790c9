"""Detectors out of torch: written as ONNX or OpenVINO, compared with what they were made of, and
quantised. `load` opens what was written, and needs no torch itself (`dmaskrcnn.runtime`)."""

from dmaskrcnn.runtime.exported import ExportedDetector, load

__all__ = ["ExportedDetector", "load"]
