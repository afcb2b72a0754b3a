"""`doselo demo`: the whole path on synthetic patients, as commands that a user can type. It runs commands alone."""
