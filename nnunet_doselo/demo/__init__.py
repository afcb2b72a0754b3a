"""`doselo demo`: the whole path on synthetic patients, with the commands that a user types. It runs commands alone."""
