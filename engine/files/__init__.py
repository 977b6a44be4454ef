"""Settled rows as files: one Parquet file of a table (parquet), what a snapshot wrote (manifest), what is live (index)."""
