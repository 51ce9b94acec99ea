"""Worlds: generators of data whose best possible score is known."""
