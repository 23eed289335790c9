"""A camera's RTSP server for a test, by GStreamer's; run by the system's Python, as Debian's
packages are its: ``/usr/bin/python3 rtsp_server.py``. Says its port on stdout."""

from __future__ import annotations

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURES = "videotestsrc is-live=true ! video/x-raw,format=I420,width=96,height=64,framerate=10/1"

Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory.new()
factory.set_launch(f"( {PICTURES} ! jpegenc ! rtpjpegpay name=pay0 pt=26 )")
server.get_mount_points().add_factory("/road", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
