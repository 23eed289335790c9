"""From detections to scores: matching, average precision, and intervals over images and seeds."""
