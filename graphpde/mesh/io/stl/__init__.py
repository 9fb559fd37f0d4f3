"""STL surfaces, text and binary, read; binary, written."""
