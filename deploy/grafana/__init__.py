"""Dashboards and alerts for Grafana, built into the files beside this by `make dashboards`."""
