"""`python -m postkeep_verifier`."""

from postkeep_verifier.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
