"""What bytes of files mean, whoever reads them: tar, gzip, Parquet's pages, and what a file looks like."""
