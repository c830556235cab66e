"""What tus says. Bytes and sockets are unknown here: headers in, decisions out."""
