"""
HTTP/1.1 of the data plane: one small server and one small client on llhttp's parser.

    server      serve(handler): exchanges, limits, keep-alive, draining
    client      Client: pooled requests with a bounded answer, and streams for proxies
    handover    a connection goes to another process, with what was read of it
    proxy       Proxy: one exchange forwarded to another address, both ways

Every hop uses these: ingress, sender, activator, admin endpoints. They know nothing of events.
"""
