"""Destruction that can be shown: orders, legal holds, the search for what was destroyed, the certificate.

An *order* says what is to be destroyed and goes through fixed steps; `order` has them as pure values. Start
there, then `hold` (what no order may touch), `scan` (the raw search), `certificate` (what is proved in the
end) and `paper` (the same on paper). The steward takes the steps (`postkeep.services.steward.orders`).
"""
