"""The collector's database: schema, migrations, connections. Speaks SQLAlchemy Core, no ORM."""
