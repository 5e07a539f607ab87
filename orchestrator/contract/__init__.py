"""What crosses a border between processes or parts: messages, ports, spans."""
