"""Where the gateway keeps what must not be lost: tables, engine, migrations."""
