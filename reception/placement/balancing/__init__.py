"""Which node a new call is placed on."""
