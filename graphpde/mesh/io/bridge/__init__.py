"""The way to the formats that meshio reads and writes."""
