"""Several frameworks in one table: clause groups down, systems across."""
