"""Decks of Abaqus and CalculiX (.inp), read and written."""
