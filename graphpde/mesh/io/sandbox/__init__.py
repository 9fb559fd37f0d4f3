"""Readers in a process of their own: its start, its inside, and what passes between the two."""
