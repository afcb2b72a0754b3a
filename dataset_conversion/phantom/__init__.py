"""Synthetic post-operative glioblastoma patients: a real brain in a modelled head, with dose from the open planner."""
