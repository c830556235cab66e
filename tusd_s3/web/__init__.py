"""HTTP in, HTTP out. Knows no bucket."""
