"""SETTLE PATH: snapshot.py (read this first), schedule.py (when)."""
