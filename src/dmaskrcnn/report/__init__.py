"""A self-contained HTML page about runs and their comparison: `write_report`."""

from dmaskrcnn.report.page import default_out, write_report

__all__ = ["default_out", "write_report"]
