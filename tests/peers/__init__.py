"""Real peer programs for end-to-end tests, each started in a private directory of its own."""
