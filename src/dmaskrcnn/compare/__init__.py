"""Rows of runs and dehazing methods, scored on one test set; tables; the paper's table."""
