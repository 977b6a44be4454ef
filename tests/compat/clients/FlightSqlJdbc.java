// Queries, parameters, updates and metadata through JDBC; prints one line "name=value" for each. Arguments: URL
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

public class FlightSqlJdbc {
    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            try (Statement statement = connection.createStatement()) {
                show("select", rows(statement.executeQuery("SELECT host, usage FROM cpu ORDER BY time"), 2));
                show("update", statement.executeUpdate("INSERT INTO cpu (host, usage, time) VALUES ('jdbc', 7.5, 700)"));
                show("inserted", rows(statement.executeQuery("SELECT usage FROM cpu WHERE host = 'jdbc'"), 1));
                try {
                    statement.executeQuery("SELECT * FROM nothing");
                } catch (SQLException error) {
                    show("error", error.getMessage().replace('\n', ' '));
                }
            }
            try (PreparedStatement statement =
                    connection.prepareStatement("SELECT usage FROM cpu WHERE host = ? AND usage > ? LIMIT ?")) {
                statement.setString(1, "a");
                statement.setDouble(2, 1.5);
                statement.setLong(3, 10);
                show("parameters", rows(statement.executeQuery(), 1));
                statement.setString(1, "b");
                show("again", rows(statement.executeQuery(), 1));
            }
            try (PreparedStatement statement =
                    connection.prepareStatement("INSERT INTO cpu (host, usage, time) VALUES (?, ?, ?)")) {
                statement.setString(1, "prepared");
                statement.setDouble(2, 8.5);
                statement.setTimestamp(3, new java.sql.Timestamp(800));
                show("prepared update", statement.executeUpdate());
            }
            DatabaseMetaData meta = connection.getMetaData();
            show("product", meta.getDatabaseProductName());
            show("read only", meta.isReadOnly());
            show("transactions", meta.supportsTransactions());
            show("quote", meta.getIdentifierQuoteString());
            show("numeric functions", meta.getNumericFunctions().contains("sqrt"));
            show("convert", meta.supportsConvert(java.sql.Types.INTEGER, java.sql.Types.VARCHAR));
            show("catalogs", column(meta.getCatalogs(), "TABLE_CAT"));
            show("schemas", column(meta.getSchemas(), "TABLE_SCHEM"));
            show("tables", column(meta.getTables(null, "iox", "cpu", null), "TABLE_NAME"));
            show("columns", column(meta.getColumns(null, "iox", "cpu", null), "COLUMN_NAME"));
            show("types", column(meta.getTableTypes(), "TABLE_TYPE"));
            show("primary keys", column(meta.getPrimaryKeys(null, "iox", "cpu"), "COLUMN_NAME"));
            show("imported keys", column(meta.getImportedKeys(null, "iox", "cpu"), "PKTABLE_NAME"));
        }
    }

    static void show(String name, Object value) {
        System.out.println(name + "=" + value);
    }

    static List<String> rows(ResultSet found, int columns) throws SQLException {
        List<String> rows = new ArrayList<>();
        while (found.next()) {
            StringBuilder row = new StringBuilder();
            for (int column = 1; column <= columns; column++) {
                row.append(column > 1 ? "," : "").append(found.getObject(column));
            }
            rows.add(row.toString());
        }
        return rows;
    }

    static List<String> column(ResultSet found, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (found.next()) {
            values.add(found.getString(name));
        }
        return values;
    }
}
