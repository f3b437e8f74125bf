"""The operators' desk: pages served by the gateway, on top of incidents and registry."""
