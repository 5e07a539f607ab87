"""How the values that N clients sent for one chunk become one."""
