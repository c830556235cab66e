"""A tus resumable-upload server that keeps uploads in any S3-compatible bucket."""

__version__ = "0.1.0"
