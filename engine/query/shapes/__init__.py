"""What a plan asks of its tables, recognised by meaning: read expressions.py, then needs.py and folding.py."""
