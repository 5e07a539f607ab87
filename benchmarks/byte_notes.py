"""What the results page says beside its figures."""

TRIED = ""
NOTES = ""
