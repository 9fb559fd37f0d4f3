"""Benchmarks of Hamiltonian systems: steppers, what stays, particles, learned energies; rows of docs/hamiltonian.md."""
