"""The networks, behind the protocol of base.py."""
