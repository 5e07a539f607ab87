"""The processes: client and coordinator actors, and the two ways to run them (Ray, or inside this process)."""
