"""The functions that a time series database adds to SQL, carried out by plans that DataFusion knows.

Read engine/query/statement.py first. Then: tokens.py (text as tokens), local.py (functions that other functions say),
gapfill.py (statements in two parts), bounds.py (the range that is filled), fill.py (filling, over Arrow), wallclock.py (bins
by the clock on the wall), names.py (columns named after what was asked for).
"""
