"""
Sources: what brings events in from elsewhere. One file a source; it is found by being in this folder.

A source meets the broker over HTTP only, as any producer would.
"""
