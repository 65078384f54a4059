"""The GA Realtime protocol from the server's side, without sockets or clocks."""
