"""The walker: reads the table, the host's journal, Docker and the kernel, and names whatever must never be.

The checks are pure functions over a snapshot, one file for each thing that must never happen; each has a test that
shows it a snapshot with that very violation.
"""
