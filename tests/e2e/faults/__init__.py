"""Faults on the whole service: its parts are killed one at a time, each as a real process, on a Docker of their own."""
