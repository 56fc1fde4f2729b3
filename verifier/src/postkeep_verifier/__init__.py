"""Checks a copy of a Postkeep ledger: that it is whole and true, and that what it tells adds up.

It shares no code with Postkeep, so that a mistake there is not a mistake here. An auditor reads it in this
order: `note` (signatures), `merkle` (hashes), `tree` (one log, from its files up to its signed head),
`events` and `reconcile` (do the events add up), `audit` (all of it together), `words.json`, `cli`."""
