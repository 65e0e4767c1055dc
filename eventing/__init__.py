"""Clarion's eventing: brokers, triggers, and the control plane that both eventing and serving stand on."""
