"""Counts web hits per window of five minutes, host and referrer: the job that hitstream takes the place of.

Reads all that the topic holds when it starts, writes the windows that have closed to PostgreSQL, and ends. The settings
of Spark itself are in spark.conf beside it. docs/BENCHMARKS.md says why each is as it is.
"""

import json
import os

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, count, from_json, window
from pyspark.sql.types import StringType, StructField, StructType, TimestampType

# Only what is counted: Spark need not keep the other fields of a hit.
HIT = StructType(
    [
        StructField("event_time", TimestampType()),
        StructField("host", StringType()),
        StructField("referrer", StringType()),
    ]
)


def write(windows: DataFrame, _batch: int) -> None:
    """Appends the windows that a micro-batch has closed."""
    (
        windows.write.format("jdbc")
        .option("url", os.environ["POSTGRES_URL"])
        .option("user", os.environ["POSTGRES_USER"])
        .option("password", os.environ["POSTGRES_PASSWORD"])
        .option("driver", "org.postgresql.Driver")
        .option("dbtable", os.environ["POSTGRES_TABLE"])
        # Both make many rows one statement: without them each row is a round trip of its own.
        .option("batchsize", 10_000)
        .option("reWriteBatchedInserts", "true")
        .mode("append")
        .save()
    )


def main() -> None:
    spark = SparkSession.builder.appName("web-traffic").getOrCreate()
    hits = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", os.environ["KAFKA_URL"])
        .option("subscribe", os.environ["KAFKA_TOPIC"])
        .option("startingOffsets", "earliest")
        .load()
        .select(from_json(col("value").cast("string"), HIT).alias("hit"))
        .select("hit.*")
    )
    windows = (
        hits.withWatermark("event_time", "1 minute")
        .groupBy(window("event_time", "5 minutes"), "host", "referrer")
        .agg(count("*").alias("num_hits"))
        .select(
            col("window.start").alias("window_start"),
            col("window.end").alias("window_end"),
            "host",
            "referrer",
            "num_hits",
        )
    )
    query = (
        windows.writeStream.outputMode("append")
        .foreachBatch(write)
        .option("checkpointLocation", os.environ["CHECKPOINT"])
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    # For the measurement: when each micro-batch began, what it took, and the watermark it had.
    progress = [json.loads(batch.json) for batch in query.recentProgress]
    print(json.dumps({"version": spark.version, "batches": progress}))
    spark.stop()


if __name__ == "__main__":
    main()
