"""The launch modes ssh and jupyter on a host: an instance's own files, and whether people can get in.

The toolkit (`gpulease_host.toolkit`) is what runs in the container; this is what it is given.
"""
