"""Training offline: history in; checked, fitted, backtested, gated and registered models out."""
