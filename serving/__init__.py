"""Serving: functions as Services, workers that are there only while requests are; see the modules' docstrings."""
