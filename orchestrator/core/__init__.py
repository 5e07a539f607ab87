"""Words that everybody shares: errors, tables, randomness, rules of rounds. Imports nothing of ours."""
