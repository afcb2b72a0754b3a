"""From a clinic's structure names to TG-263 and to targets."""
