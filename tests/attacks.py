"""Statements that somebody who wants more than answers would send.

REFUSED get no answer whatever the limits are. BOMBS are questions, or nearly; they must be refused
or stopped, and cost no more than the limits say.
"""

REFUSED = {
    "writes": """
        DELETE FROM file
        DELETE FROM instance WHERE 1 = 1
        TRUNCATE file
        TRUNCATE TABLE tag
        UPDATE file SET state = 'gone'
        UPDATE instance SET PatientID = 'X' RETURNING PatientID
        INSERT INTO file SELECT * FROM file
        INSERT OR REPLACE INTO file SELECT * FROM file
        INSERT OR IGNORE INTO event VALUES (NULL, NULL, NULL, NULL, NULL)
        INSERT INTO event BY NAME SELECT 'x' AS kind
        MERGE INTO file USING file AS b ON file.path = b.path WHEN MATCHED THEN DELETE
        FROM file INSERT INTO event SELECT *
        /* a comment */ DELETE FROM file
        -- a comment\\nDELETE FROM file
        ; DELETE FROM file
        (DELETE FROM file)
        EXPLAIN ANALYZE DELETE FROM file
        EXPLAIN DELETE FROM file
        EXPLAIN (ANALYZE, FORMAT json) DELETE FROM file
        EXPLAIN ANALYZE INSERT INTO event SELECT NULL, 'x', NULL, NULL, NULL
    """,
    "definitions": """
        CREATE TABLE x (a INTEGER)
        CREATE TABLE x AS SELECT * FROM file
        CREATE TEMP TABLE x AS SELECT 1
        CREATE OR REPLACE TABLE file AS SELECT 1
        CREATE VIEW x AS SELECT 1
        CREATE OR REPLACE VIEW series AS SELECT 1
        CREATE TEMP VIEW x AS SELECT 1
        CREATE SCHEMA x
        CREATE SEQUENCE x
        CREATE TYPE x AS ENUM ('a')
        CREATE INDEX x ON file (state)
        CREATE MACRO x() AS 1
        CREATE TEMP MACRO x() AS TABLE FROM file
        CREATE FUNCTION x() AS 1
        CREATE OR REPLACE SECRET x (TYPE s3)
        CREATE SECRET x (TYPE http, BEARER_TOKEN 'x')
        DROP SECRET x
        DROP TABLE file
        DROP TABLE IF EXISTS file CASCADE
        DROP VIEW series
        DROP SCHEMA main CASCADE
        DROP SEQUENCE instance_id_seq
        ALTER TABLE file ADD COLUMN x INTEGER
        ALTER TABLE file DROP COLUMN state
        ALTER TABLE file RENAME TO file2
        COMMENT ON TABLE file IS 'x'
        ANALYZE file
        VACUUM
        VACUUM FULL
        CHECKPOINT
        FORCE CHECKPOINT
    """,
    "several statements": """
        SELECT 1; DELETE FROM file
        SELECT 1; SELECT 2
        SELECT 1;; SELECT 2
        COMMIT; DELETE FROM file
        ROLLBACK; DROP TABLE file
        SELECT 1 /* ; */; DROP TABLE file --
        SELECT ';'; DROP TABLE file
        EXPLAIN SELECT 1; DROP TABLE file
        SELECT 1; EXPLAIN SELECT 1
        SELECT $$;$$; DROP TABLE file
        SELECT 1;\\u200bDROP TABLE file
        SELECT 1;\\nCOMMIT;\\nDROP TABLE file;
        PIVOT file ON state USING count(*)
        EXPLAIN PIVOT file ON state USING count(*)
        FROM (PIVOT file ON state USING count(*))
    """,
    "writes within a question": """
        WITH x AS (INSERT INTO event VALUES (NULL, 'x', NULL, NULL, NULL) RETURNING kind) FROM x
        WITH x AS (DELETE FROM file RETURNING path) SELECT * FROM x
        WITH x AS (UPDATE file SET state = 'gone' RETURNING path) SELECT count(*) FROM x
        WITH x AS MATERIALIZED (DELETE FROM file RETURNING path) SELECT 1
        EXPLAIN ANALYZE WITH x AS (DELETE FROM file RETURNING path) SELECT * FROM x
        SELECT * FROM (DELETE FROM file RETURNING path)
        SELECT (DELETE FROM file RETURNING path)
        SELECT * FROM file WHERE path IN (WITH x AS (DELETE FROM file RETURNING path) FROM x)
        DESCRIBE DELETE FROM file
        SUMMARIZE (DELETE FROM file RETURNING path)
        SELECT nextval('instance_id_seq')
        SELECT main.nextval('instance_id_seq')
        SELECT 'instance_id_seq'.nextval()
        SELECT currval('instance_id_seq')
        SELECT setval('instance_id_seq', 5)
        SELECT 1 WHERE nextval('instance_id_seq') > 0
        SELECT path FROM file ORDER BY nextval('instance_id_seq')
        SELECT path FROM file LIMIT (SELECT nextval('instance_id_seq'))
        SELECT count(*) FILTER (nextval('instance_id_seq') > 0) FROM file
        SELECT sum(1) OVER (ORDER BY nextval('instance_id_seq')) FROM file
        SELECT [nextval('instance_id_seq') FOR x IN [1]]
        SELECT list_transform([1, 2], lambda x: nextval('instance_id_seq'))
        SELECT list_aggregate([1], 'sum', nextval('instance_id_seq'))
        SELECT {'a': nextval('instance_id_seq')}.a
        SELECT CASE WHEN true THEN nextval('instance_id_seq') END
        SELECT coalesce(NULL, nextval('instance_id_seq'))
        SELECT TRY(nextval('instance_id_seq'))
        SELECT COLUMNS(c -> nextval('instance_id_seq') > 0) FROM file
        SELECT * REPLACE (nextval('instance_id_seq') AS path) FROM file
        VALUES (nextval('instance_id_seq'))
        FROM range(nextval('instance_id_seq'))
        FROM unnest([nextval('instance_id_seq')])
        FROM (PIVOT file ON state IN ('x') USING sum(nextval('instance_id_seq')))
        FROM file GROUP BY nextval('instance_id_seq') SELECT 1
        FROM file QUALIFY nextval('instance_id_seq') > 0
        FROM file AS a JOIN file AS b ON nextval('instance_id_seq') > 0
        WITH RECURSIVE t AS (SELECT nextval('instance_id_seq') AS n UNION ALL FROM t) FROM t
        SELECT setseed(0.5)
        SELECT write_log('x')
        FROM checkpoint()
        FROM force_checkpoint()
        FROM truncate_duckdb_logs()
        FROM enable_logging()
        SELECT * FROM repeat_row(1, num_rows = 5)
    """,
    "files": """
        COPY file TO '/tmp/x.csv'
        COPY (SELECT 1) TO '/tmp/x.parquet' (FORMAT parquet)
        COPY file FROM '/etc/passwd'
        COPY FROM DATABASE catalog TO x
        EXPORT DATABASE '/tmp/x'
        IMPORT DATABASE '/tmp/x'
        ATTACH '/tmp/x.db'
        ATTACH ':memory:' AS x
        ATTACH 'catalog.duckdb' AS x (READ_WRITE)
        DETACH catalog
        USE memory
        FROM '/etc/passwd'
        FROM "/etc/passwd"
        FROM '/tmp/x.csv'
        FROM 'x.parquet'
        FROM 'x.db'
        FROM 'catalog.duckdb'
        FROM '/tmp/x.db'.main.file
        FROM 'https://example.org/x.parquet'
        FROM 's3://bucket/x.csv'
        FROM '*.json'
        SELECT * FROM file, '/etc/passwd'
        WITH "a.csv" AS (FROM "a.csv") FROM "a.csv"
        SELECT * FROM (WITH "a.csv" AS (SELECT 1) FROM "a.csv"), "a.csv"
        SELECT (SELECT count(*) FROM 'a.json')
        DESCRIBE '/etc/passwd'
        SUMMARIZE 'a.csv'
        SHOW 'a.csv'
        TABLE 'a.csv'
        FROM read_text('/etc/passwd')
        FROM read_blob('/etc/shadow')
        FROM read_csv('/etc/passwd', sep = ':')
        FROM read_csv_auto('/etc/passwd')
        FROM read_json('/tmp/x.json')
        FROM read_json_objects('/tmp/x.json')
        FROM read_ndjson('/tmp/x.json')
        FROM read_parquet('/tmp/x.parquet')
        FROM parquet_scan('/tmp/x.parquet')
        FROM parquet_metadata('/tmp/x.parquet')
        FROM parquet_schema('/tmp/x.parquet')
        FROM read_duckdb('/tmp/x.db')
        FROM sniff_csv('/etc/passwd')
        FROM glob('/etc/*')
        FROM main.glob('/etc/*')
        FROM system.main.glob('/etc/*')
        FROM arrow_scan(1, 2, 3)
        FROM pandas_scan(1)
        FROM python_map_function(1)
        FROM seq_scan('file')
        SELECT * FROM table_that_is_a_variable_of_python
    """,
    "settings, secrets, the machine": """
        SET threads = 64
        SET memory_limit = '100GB'
        SET enable_external_access = true
        SET GLOBAL lock_configuration = false
        SET SESSION search_path = 'main'
        SET VARIABLE x = 1
        RESET memory_limit
        RESET ALL
        PRAGMA database_list
        PRAGMA enable_profiling
        PRAGMA memory_limit = '100GB'
        PRAGMA table_info('file')
        PRAGMA version
        LOAD httpfs
        LOAD '/tmp/x.duckdb_extension'
        INSTALL httpfs
        FORCE INSTALL httpfs FROM 'http://localhost'
        UPDATE EXTENSIONS
        CALL pragma_version()
        CALL checkpoint()
        PREPARE x AS SELECT 1
        EXECUTE x
        DEALLOCATE x
        SELECT $1
        SELECT ?
        SELECT $name
        BEGIN
        BEGIN TRANSACTION
        START TRANSACTION READ WRITE
        COMMIT
        ROLLBACK
        ABORT
        END
        SELECT getenv('HOME')
        SELECT current_setting('temp_directory')
        SELECT getvariable('x')
        SELECT current_query()
        FROM duckdb_settings()
        FROM duckdb_settings
        FROM duckdb_secrets()
        FROM which_secret('x', 's3')
        FROM duckdb_databases()
        FROM duckdb_logs()
        FROM duckdb_memory()
        FROM duckdb_temporary_files()
        FROM duckdb_extensions()
        FROM duckdb_variables()
        FROM duckdb_functions()
        FROM pragma_database_list
        FROM pragma_database_size()
        FROM pragma_storage_info('file')
        FROM pragma_user_agent()
        FROM pg_catalog.pg_settings
        FROM system.main.duckdb_settings
        SHOW VARIABLES
        SELECT sleep_ms(600000)
        SELECT pg_sleep(600)
        SELECT count(*) FROM file WHERE sleep_ms(1000) IS NULL
    """,
    "SQL that runs SQL": """
        FROM query('DELETE FROM file')
        FROM query('SELECT 1')
        SELECT * FROM query_table('file')
        FROM query_table(['file', 'tag'])
        FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
        PRAGMA json_execute_serialized_sql('x')
        SELECT json_serialize_sql('SELECT 1')
        SELECT json_deserialize_sql('x')
        SELECT json_serialize_plan('SELECT 1')
        FROM histogram('/etc/passwd', 'x')
        FROM duckdb_profiling_settings()
    """,
    "types and places": """
        SELECT '999'::BIGNUM
        SELECT TRY_CAST('999' AS varint)
        SELECT NULL::STRUCT(a BIGNUM[])
        SELECT BIGNUM '999'
        SELECT NULL::"no such type"
        FROM information_schema."a.csv"
        FROM "/tmp/x".file
        FROM "/tmp/x".main.file
        FROM 'https://example.org'.file
        FROM temp.file
        FROM system.information_schema.tables, temp.information_schema."x.csv"
        SHOW TABLES FROM "/tmp/x.db"
        DESCRIBE "/tmp/x".file
    """,
    "tricks of writing": """
        SELECT SLEEP_MS(600000)
        SELECT "sleep_ms"(600000)
        SELECT sleep_ms/**/(600000)
        SELECT sleep_ms -- (\\n(600000)
        SELECT "main"."sleep_ms"(600000)
        SELECT system.main.sleep_ms(600000)
        SELECT 600000.sleep_ms()
        SELECT (600000).sleep_ms()
        SELECT U&"sleep\\\\005fms"(1)
        SELECT \\u017fleep_ms(1)
        SELECT sleep\\uff3fms(1)
        \\ufeffDELETE FROM file
        \\u00a0DELETE FROM file
        \\u202eDELETE FROM file
        DELETE/**/FROM/**/file
        dElEtE fRoM file
        SELECT 1 \\u037e DELETE FROM file
        /* /* */ EXPLAIN DELETE FROM file -- */
        --\\rDELETE FROM file
        EXPLAIN\\u00a0DELETE FROM file
        EXPLAIN/**/DELETE FROM file
        EXPLAIN(ANALYZE)DELETE FROM file
        SELECT 'x\\0'; DELETE FROM file
        SELECT 1\\0; DELETE FROM file
        SELECT E'\\\\\\\\'; DELETE FROM file --'
        SELECT $a$ $b$; DELETE FROM file; $a$; DELETE FROM file
        SELECT 'unfinished
        SELECT "unfinished
        SELECT /* unfinished
        SELECT $$unfinished
        SELEC 1
        .tables
        .shell ls
        \\\\! ls
        {"sql": "SELECT 1"}
    """,
}

DEEP = 2_000

BOMBS = {
    "brackets": "SELECT " + "(" * DEEP + "1" + ")" * DEEP,
    "lists within lists": "SELECT " + "[" * DEEP + "1" + "]" * DEEP,
    "structs within structs": "SELECT " + "{'a': " * DEEP + "1" + "}" * DEEP,
    "calls within calls": "SELECT " + "abs(" * DEEP + "1" + ")" * DEEP,
    "queries within queries": "SELECT * FROM " + "(FROM " * DEEP + "(SELECT 1)" + ")" * DEEP,
    "values within values": "SELECT " + "(SELECT " * DEEP + "1" + ")" * DEEP,
    "cases within cases": "SELECT " + "CASE WHEN true THEN " * 300 + "1" + " END" * 300,
    "lambdas within lambdas": "SELECT " + "list_transform([1], lambda x: " * 20 + "x" + ")" * 20,
    "not not not": "SELECT " + "NOT " * 20_000 + "true",
    "minus minus": "SELECT " + "- " * 20_000 + "1",
    "a long sum": "SELECT 1" + "+1" * 30_000,
    "a long text": "SELECT 'a'" + "||'a'" * 5_000,
    "casts of casts": "SELECT 1" + "::INTEGER" * 5_000,
    "names of names": "SELECT a" + ".a" * 30_000,
    "items of items": "SELECT a" + "[1]" * 20_000,
    "types within types": "SELECT NULL::" + "STRUCT(a " * 300 + "INTEGER" + ")" * 300,
    "many unions": "SELECT 1" + " UNION ALL SELECT 1" * 3_000,
    "many joins": "SELECT * FROM (SELECT 1)" + ", (SELECT 1)" * 1_000,
    "many alternatives": "SELECT 1 WHERE false" + " OR 1 = 2" * 6_000,
    "many names of WITH": "WITH a0 AS (SELECT 1)"
    + "".join(f", a{at} AS (FROM a{at - 1})" for at in range(1, 2_000))
    + " FROM a1999",
    "many columns": "SELECT " + ", ".join(f"1 AS a{at}" for at in range(6_000)),
    "many statements": "SELECT 1;" * 6_000,
    "a long name": "SELECT " + "x" * 60_000,
    "a long comment": "SELECT /*" + "/*" * 30_000,
    "over a megabyte": "SELECT '" + "x" * (1 << 20) + "'",
    "a long text, repeated": "SELECT repeat('x', 1000000000)",
    "texts of each row": "SELECT max(length(repeat('x', 100000000 + i::INT)))"
    " FROM range(2048) t(i)",
    "padding": "SELECT max(length(lpad(i::VARCHAR, 100000000, 'x'))) FROM range(2048) t(i)",
    "padding by a column": "SELECT rpad('x', i::INT) FROM range(1000000000, 1000000100) t(i)",
    "a wide format": "SELECT format('{:>2000000000}', 'x')",
    "a wide printf": "SELECT printf('%2000000000d', 1)",
    "replaced by more": "SELECT length(replace(replace(s, 'x', s), 'x', s)) FROM"
    " (SELECT string_agg('x', '') AS s FROM range(10000))",
    "doubled": "WITH RECURSIVE t(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM t)"
    " SELECT max(length(s)) FROM t",
    "doubled lists": "WITH RECURSIVE t(s) AS (SELECT [1] UNION ALL SELECT s || s FROM t)"
    " SELECT max(len(s)) FROM t",
    "ten times, ten times": "WITH a AS (SELECT string_agg('x', '') AS s FROM range(1000)),"
    " b AS (SELECT s||s||s||s||s||s||s||s||s||s AS s FROM a),"
    " c AS (SELECT s||s||s||s||s||s||s||s||s||s AS s FROM b),"
    " d AS (SELECT s||s||s||s||s||s||s||s||s||s AS s FROM c),"
    " e AS (SELECT s||s||s||s||s||s||s||s||s||s AS s FROM d)"
    " SELECT max(md5(s || i)) FROM e, range(2048) t(i)",
    "a long list": "SELECT len(range(1000000000))",
    "a list in each row": "SELECT max(len(range(10000000 + i))) FROM range(2048) t(i)",
    "a list made longer": "SELECT len(list_resize([1], 2000000000))",
    "lists of lists": "SELECT len(flatten(list_transform(range(30000), lambda x: range(30000))))",
    "a product of lambdas": "SELECT list_sum(list_transform(range(100000), lambda x:"
    " list_sum(list_transform(range(100000), lambda y: x + y))))",
    "a sorted list": "SELECT list_sort(list_transform(range(20000000), lambda x: hash(x)))[1]",
    "an unnested list": "SELECT count(*) FROM (SELECT unnest(range(1000000000)))",
    "a long range": "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 3",
    "a long series": "SELECT count(*) FROM generate_series(1, 1000000000000) t(i) WHERE i % 7 = 3",
    "series of times": "SELECT count(DISTINCT t) FROM generate_series(TIMESTAMP '0001-01-01',"
    " TIMESTAMP '9999-01-01', INTERVAL 1 SECOND) AS s(t)",
    "for ever": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t)"
    " SELECT count(*) FROM t",
    "for ever, wider": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + i"
    " FROM t, range(9) r(i)) SELECT count(*) FROM t",
    "a product": "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
    " WHERE a.range % 7 = b.range % 5",
    "a product of the catalog": "SELECT count(*) FROM tag a, tag b, tag c, tag d, tag e"
    " WHERE a.value < b.value AND c.value < d.value AND d.value < e.value",
    "a huge sort": "SELECT * FROM range(10000000000) ORDER BY hash(range) LIMIT 1 OFFSET 999999999",
    "a huge group": "SELECT count(*) FROM (SELECT hash(range) FROM range(10000000000) GROUP BY 1)",
    "a huge distinct": "SELECT count(DISTINCT range) FROM range(10000000000)",
    "a huge text": "SELECT length(string_agg(range::VARCHAR, '')) FROM range(10000000000)",
    "a huge list": "SELECT len(list(range)) FROM range(10000000000)",
    "a huge window": "SELECT max(s) FROM (SELECT sum(range) OVER (ORDER BY hash(range)) AS s"
    " FROM range(1000000000))",
    "a huge median": "SELECT quantile_cont(hash(range), 0.5) FROM range(1000000000)",
    "a huge histogram": "SELECT histogram(range) FROM range(1000000000)",
    "a huge JSON": "SELECT length(json_group_array(range)::VARCHAR) FROM range(1000000000)",
    "many rows": "FROM range(3000000000)",
    "many bytes": "SELECT md5(range::VARCHAR) || md5(range::VARCHAR) FROM range(900000)",
    "one value of many bytes": "SELECT string_agg(md5(range::VARCHAR), '') FROM range(1000000)",
    "explained": "EXPLAIN ANALYZE SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 3",
    "summarized": "SUMMARIZE (FROM range(10000000000))",
    "an expression that backtracks": "SELECT regexp_replace(string_agg('a', ''),"
    " '(a|aa|aaa)*?b', 'x', 'g') FROM range(300000000)",
    "an expression that is large": "SELECT"
    " regexp_matches('a', '((((a{1,100}){1,100}){1,100}){1,100})')",
    "an expression for each row": "SELECT count(*) FROM range(1000000000) t(i)"
    " WHERE regexp_matches(md5(i::VARCHAR), '(' || i::VARCHAR || '|a.*b.*c.*d)+$')",
    "a distance": "SELECT levenshtein(string_agg('ab', ''), string_agg('ba', ''))"
    " FROM range(100000)",
    "accents upon accents": "SELECT length(nfc_normalize(string_agg(chr(768 + (i % 50)::INT), '')))"
    " FROM range(10000000) t(i)",
    "a number of many digits": "SELECT '" + "9" * 1_000_000 + "'::BIGNUM",
    "a list of fixed length": "SELECT NULL::INTEGER[99999] FROM range(2048)",
    "search in a long text": "SELECT sum(instr(s, 'y' || i)) FROM (SELECT string_agg('x', '') AS s"
    " FROM range(100000000)), range(100000) t(i)",
}


def statements() -> dict[str, str]:
    """Give each statement of REFUSED under a name of its own."""
    found = {}
    for family, lines in REFUSED.items():
        for line in filter(None, map(str.strip, lines.splitlines())):
            spelled = line.encode("latin-1", "backslashreplace").decode("unicode_escape")
            found[f"{family}: {line[:60]}"] = spelled
    return found
