"""Benchmarks: the same load on this server, on its peers and on servers that do nothing, as separate processes.

Read scenarios.py first. data.py makes the rows, http_client.py, flight_client.py and append_client.py are the clients
(processes of their own), targets.py the servers, nothing.py the servers that set the limit, processes.py starts, watches
and ends them, report.py prints.
"""
