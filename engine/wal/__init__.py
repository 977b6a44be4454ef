"""The write-ahead log: codec.py (bytes), log.py (where groups are kept), writer.py (group commit), reader.py (replay)."""
