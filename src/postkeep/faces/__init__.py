"""Wire to services and back: no rules of their own."""
