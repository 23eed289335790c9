"""Street scenes drawn from nothing: pictures with instance masks and true depth, clear or hazy, for
the demo and the tests."""

from dmaskrcnn.demo.scenes import write_scenes
from dmaskrcnn.demo.shading import SKY_DEPTH
from dmaskrcnn.demo.street import Scene, render_scene
from dmaskrcnn.demo.things import CLASSES

__all__ = ["CLASSES", "SKY_DEPTH", "Scene", "render_scene", "write_scenes"]
