"""Changes a database by hand, as somebody who covers their tracks would."""

import sqlite3
import sys

with sqlite3.connect("state/wardroom.db") as database:
    for statement in sys.argv[1:]:
        if database.execute(statement).rowcount != 1:
            sys.exit(f"not one row: {statement}")
