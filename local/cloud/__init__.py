"""The local cloud: the service's own templates in an AWS emulator, made durable, on two loopback ports.

local.supervise.start_cloud(state, port)   start it in the background and wait until it serves
local.supervise.stop_cloud(state)          end it
local.cloud.settings.CloudInfo             how to reach it: endpoints, key, stack outputs, `client(service)`
python -m local.cloud --state-dir D --front-port P   run it in the foreground

__main__ ─► launch (keys, ports, synthesis) ─► exec with a bare environment ─► run ─► server
server: front port ─► frontdoor ─► the HTTP API
        AWS port ─► gate ─► journaling (DynamoDB) ─► local.ssm ─► MiniStack, by emulator alone
"""
