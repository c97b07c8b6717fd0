"""Benchmarks that hold the product to figures: `python -m benchmarks.NAME`, from the repository's root."""
