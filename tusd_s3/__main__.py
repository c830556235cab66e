"""``python -m tusd_s3``."""

from tusd_s3.cli import main

if __name__ == "__main__":
    main()
