"""Recent rows in memory: rows.py (one table's rows as values), series.py (what each table's series are called)."""
