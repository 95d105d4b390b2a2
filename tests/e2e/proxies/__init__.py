"""A service with two proxies, as clients meet it who cannot reach the host's own address."""
