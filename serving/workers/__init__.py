"""Processes that serve a revision: forked, probed, limited, logged, ended, and their Pythons."""
