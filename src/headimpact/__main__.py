"""Run the command line with `python -m headimpact`."""

import sys

from headimpact.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
