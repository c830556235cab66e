"""Where the bytes rest: implementations of the `Bucket` interface."""
