"""Tasks: each a file, a class that says what the targets of samples are, and the facts that settings rest on."""
