"""`python -m postkeep_verifier`."""

import sys

from postkeep_verifier.cli import main

if __name__ == "__main__":
    sys.exit(main())
