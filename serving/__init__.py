"""Serving: functions as Services, with workers that are there only while requests are."""
