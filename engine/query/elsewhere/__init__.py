"""Statements that run in a process of their own, because nothing but its end could stop them.

workers.py   this side: processes, one kept warm; a statement in one of them
child.py     the other side: plans and runs a statement whose tables are here
channel.py   what both say to each other
remote.py    tables as the other side sees them
"""
