"""MLflow's tables in SQLite and PostgreSQL, reached without MLflow: all of our code that depends on their columns.

`schema.why_not` guards it: tables of another version than the one it was written for are left to MLflow's own API.
"""
