"""Rigid registration of MR onto the planning CT."""
