"""Reads and writes file formats: tar, gzip, Parquet's pages, Lance's row addresses; and recognises a file's kind."""
