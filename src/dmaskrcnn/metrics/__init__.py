"""The arithmetic of detection metrics: matching, average precision and bootstrap intervals, on plain arrays."""
