"""A self-contained HTML page about runs and their comparison: `write_report`."""

from dmaskrcnn.report.page import check_report, default_out, write_report

__all__ = ["check_report", "default_out", "write_report"]
