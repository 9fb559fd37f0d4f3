"""Solid mechanics and coupled problems beside exact, published and other libraries' results."""
