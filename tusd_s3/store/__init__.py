"""What an upload is in a bucket. Knows no S3 library."""
