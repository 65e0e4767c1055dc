"""Deployments: programs that are kept running on this machine, with nobody asking them anything."""
