"""Serves a table over HTTP: search, rows, images, statistics and cuts, for programs and for the page in a browser."""
