"""Mask R-CNN and nothing else: built from torchvision's parts, loaded, saved, run on images."""
