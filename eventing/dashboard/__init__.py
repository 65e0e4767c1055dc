"""
What people and monitors look at: health and metrics of all roles in one place, events and logs as they come.

Reads both planes and changes neither. Everything here is served by the control role, on the control port.
"""
