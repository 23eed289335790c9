"""A detector as an HTTP service, and as a page in the browser."""
