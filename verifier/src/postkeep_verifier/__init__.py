"""Checks a copy of a Postkeep ledger: that it is whole and true, and that what it tells adds up.

It shares no code with Postkeep, so that a mistake there is not a mistake here. An auditor reads it in this
order: `note` (signatures), `merkle` (hashes), `tiles` (files), `tree` (one log, from its entries up to its
signed head), `events` and `reconcile` (do the events add up), `tenants` (the copies that companies are
given), `audit` (all of it together), `words.json` (the report's sentences), `cli`.
"""
