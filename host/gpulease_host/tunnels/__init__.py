"""The host's way out to the deployment's proxies: who is behind NAT is reached over a connection that it made itself.

tunnels      what shall be forwarded now, and to whom; asks the service for the proxies
proxy_link   one proxy: usually one connection, for a while two
connection   one ssh process; forwards come and go on it while it runs
tunnel_key   by which proxies know this host
"""
