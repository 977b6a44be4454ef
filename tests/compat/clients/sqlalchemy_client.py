"""flightsql-dbapi by itself and under SQLAlchemy; prints one JSON object. Arguments: HOST PORT DATABASE"""

import json
import sys

import flightsql  # type: ignore[import-not-found,unused-ignore]  # installed by the test, for this program only
import flightsql.sqlalchemy  # type: ignore[import-not-found,unused-ignore]  # registers the dialect
import sqlalchemy as sa  # type: ignore[import-not-found,unused-ignore]
from flightsql import FlightSQLClient

host, port, database = sys.argv[1:]
base = f"datafusion+flightsql://{host}:{port}?database={database}&insecure=true"
found = {}

engine = sa.create_engine(base)
inspector = sa.inspect(engine)
found["schemas"] = inspector.get_schema_names()
found["tables"] = inspector.get_table_names(schema="iox")
found["columns"] = {column["name"]: str(column["type"]) for column in inspector.get_columns("cpu", schema="iox")}
cpu = sa.Table("cpu", sa.MetaData(), sa.Column("host", sa.Text), sa.Column("usage", sa.Float), schema="iox")
with engine.connect() as connection:
    found["select"] = [list(row) for row in connection.execute(sa.select(cpu).where(cpu.c.host == "a").order_by(cpu.c.usage))]
    found["text"] = [list(row) for row in connection.execute(sa.text("SELECT count(*) AS n FROM cpu"))]
    found["group"] = [
        list(row)
        for row in connection.execute(sa.select(cpu.c.host, sa.func.max(cpu.c.usage)).group_by(cpu.c.host).order_by("host"))
    ]
    try:
        connection.execute(sa.text("SELECT * FROM nothing"))
    except Exception as error:
        found["error"] = str(error)

features = "&feature-sqlalchemy-prepared-statements=on&feature-sqlalchemy-primary-keys=on"
engine = sa.create_engine(base + features)
found["primary key"] = sa.inspect(engine).get_pk_constraint("cpu", schema="iox")
with engine.connect() as connection:
    query = sa.select(cpu).where(sa.and_(cpu.c.host == "a", cpu.c.usage > 1.5))
    found["prepared"] = [list(row) for row in connection.execute(query)]

client = FlightSQLClient(host=host, port=int(port), insecure=True, metadata={"database": database})
connection = flightsql.connect(client)
cursor = connection.cursor()
cursor.execute("SELECT host, usage FROM cpu WHERE host = ? AND usage < ?", ("a", 2))
found["dbapi"] = [list(row) for row in cursor.fetchall()]
cursor.executemany("INSERT INTO cpu (host, usage, time) VALUES (?, ?, ?)", [("many", 1.5, 100), ("many", 2.5, 101)])
cursor.execute("SELECT usage FROM cpu WHERE host = 'many' ORDER BY time")
found["executemany"] = [list(row) for row in cursor.fetchall()]
found["update"] = client.execute_update("INSERT INTO cpu (host, usage, time) VALUES ('upd', 9, 200)")
found["catalogs"] = client.do_get(client.get_catalogs().endpoints[0].ticket).read_all().to_pylist()
found["types"] = client.do_get(client.get_table_types().endpoints[0].ticket).read_all().to_pylist()
found["xdbc"] = client.do_get(client.get_xdbc_type_info(12).endpoints[0].ticket).read_all().column("type_name").to_pylist()
print(json.dumps(found, default=str))
