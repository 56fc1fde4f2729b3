"""What everything stands on: identifiers, errors, limits, the clock, secrets. Standard library only."""
