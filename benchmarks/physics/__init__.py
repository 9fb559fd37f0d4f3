"""What the library promises beside exact answers and references: one row, one figure, one target."""
