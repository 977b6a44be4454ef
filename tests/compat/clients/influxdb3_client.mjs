// Writes and queries with @influxdata/influxdb3-client; prints one JSON object. Arguments: URL DATABASE
import { InfluxDBClient, Point } from '@influxdata/influxdb3-client'

const [host, database] = process.argv.slice(2)
const client = new InfluxDBClient({ host, database, token: 'none' })
const found = {}

await client.write('js,host=a usage=1.5,count=2i,ok=true,note="x" 1700000000000000000')
await client.write(Point.measurement('js').setTag('host', 'b').setFloatField('usage', 2.5).setTimestamp(new Date(1700000001000)))

async function rows(query, options) {
  const all = []
  for await (const row of client.query(query, database, options)) all.push({ ...row, time: row.time && Number(row.time) })
  return all
}

found.rows = await rows('SELECT host, usage, count, ok, note, time FROM js ORDER BY time')
found.parameters = await rows('SELECT usage FROM js WHERE host = $host AND usage > $min', { params: { host: 'b', min: 1 } })
found.empty = await rows("SELECT * FROM js WHERE host = 'nobody'")

found.points = []
for await (const point of client.queryPoints('SELECT host, usage, time FROM js ORDER BY time', database)) {
  found.points.push([point.getTag('host'), point.getFloatField('usage'), Number(point.getTimestamp())])
}

found.wide = 0
for await (const row of client.query("SELECT value, repeat('x', 1000) AS text FROM generate_series(1, 6000)", database)) {
  found.wide += row.text.length
}

try {
  await rows('SELECT * FROM nothing')
} catch (error) {
  found.error = { code: error.code, message: decodeURIComponent(error.message) }
}
try {
  for await (const _ of client.query('SELECT 1', 'unknown')) found.unknown = 'answered'
} catch (error) {
  found.unknown = decodeURIComponent(error.message)
}
await client.close()
console.log(JSON.stringify(found, (_, value) => (typeof value === 'bigint' ? Number(value) : value)))
