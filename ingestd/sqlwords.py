"""Pure. The functions that other people's SQL may call: a frozen list, by families.

What is not here is refused, so a function that a later DuckDB brings must be looked at first. Each
was chosen because it gives a value from its arguments and does nothing else. Left out on purpose:

- what reads files, settings, secrets, the environment, logs or other people's queries;
- what runs SQL that is handed to it (query, query_table, json_execute_serialized_sql);
- what changes something (nextval, setval, setseed, write_log, checkpoint) or waits (sleep_ms);
- what makes much from little in one step that cannot be interrupted (repeat, list_resize, a bit
  string of a given length), or takes the product of two lengths (levenshtein and its like), or
  the square of one (nfc_normalize of accents).
"""

OPERATORS = """
    + - * / // % ** ^ & | ~ << >> || ! !__postfix @ && <-> <=> ^@ ~~ !~~ ~~* !~~* ~~~ -> ->> <@ @>
    = != <> < <= > >= like_escape not_like_escape ilike_escape not_ilike_escape
    add subtract multiply divide mod fmod fdiv xor if nullif ifnull coalesce greatest least switch
    constant_or_null typeof alias error can_cast_implicitly
"""

NUMBERS = """
    abs acos acosh asin asinh atan atan2 atanh cbrt ceil ceiling cos cosh cot degrees even exp
    factorial floor gamma gcd greatest_common_divisor isfinite isinf isnan lcm
    least_common_multiple lgamma ln log log10 log2 nextafter pi pow power radians random round
    round_even roundbankers sign signbit sin sinh sqrt tan tanh trunc bit_count hash equi_width_bins
"""

TEXT = """
    array_extract ascii bar base64 bin bit_length char_length character_length chr concat concat_ws
    contains decode encode ends_with format format_bytes formatReadableSize
    formatReadableDecimalSize from_base64 from_hex gen_random_uuid hamming hex instr
    jaro_similarity jaro_winkler_similarity lcase left left_grapheme len length length_grapheme
    lower lpad ltrim md5 md5_number
    md5_number_lower md5_number_upper mismatches octet_length ord overlay
    parse_dirname parse_dirpath parse_filename parse_path pg_size_pretty position prefix printf
    regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    regexp_split_to_array replace reverse right right_grapheme rpad rtrim sha1 sha256 split
    split_part starts_with str_split str_split_regex string_split string_split_regex
    string_to_array strip_accents strlen strpos substr substring substring_grapheme suffix to_base
    to_base64 to_hex translate trim ucase unbin unhex unicode upper url_decode url_encode uuid
    uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7
"""

TIMES = """
    age ago century current_date current_localtime current_localtimestamp current_time
    current_timestamp date_add date_diff date_part date_sub date_trunc datediff datepart datesub
    datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms
    epoch_ns epoch_us era get_current_time get_current_timestamp hour isodow isoyear julian last_day
    make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz
    microsecond millennium millisecond minute month monthname nanosecond normalized_interval now
    quarter second strftime strptime time_bucket timezone timezone_hour timezone_minute to_centuries
    to_days to_decades to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months
    to_quarters to_seconds to_timestamp to_weeks to_years today transaction_timestamp try_strptime
    week weekday weekofyear year yearweek
"""

LISTS = """
    aggregate apply array_aggr array_aggregate array_append array_apply array_cat array_concat
    array_contains array_cosine_distance array_cosine_similarity array_cross_product array_distance
    array_distinct array_dot_product array_filter array_grade_up array_has array_has_all
    array_has_any array_indexof array_inner_product array_intersect array_length
    array_negative_dot_product array_negative_inner_product array_pop_back array_pop_front
    array_position array_prepend array_push_back array_push_front array_reduce array_reverse
    array_reverse_sort array_select array_slice array_sort array_to_string
    array_to_string_comma_default array_transform array_unique array_value array_where array_zip
    element_at filter flatten generate_series generate_subscripts grade_up list_aggr list_aggregate
    list_any_value list_append list_apply list_approx_count_distinct list_avg list_bit_and
    list_bit_or list_bit_xor list_bool_and list_bool_or list_cat list_concat list_contains
    list_cosine_distance list_cosine_similarity list_count list_distance list_distinct
    list_dot_product list_element list_entropy list_extract list_filter list_first list_grade_up
    list_has list_has_all list_has_any list_histogram list_indexof list_inner_product
    list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min
    list_mode list_negative_dot_product list_negative_inner_product list_pack list_position
    list_prepend list_product list_reduce list_reverse list_reverse_sort list_select list_sem
    list_skewness list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum
    list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip range
    reduce unnest unpivot_list
"""

NESTED = """
    cardinality map map_concat map_contains map_contains_entry map_contains_value map_entries
    map_extract map_extract_value map_from_entries map_keys map_values row struct_concat
    struct_contains struct_extract struct_extract_at struct_has struct_indexof struct_insert
    struct_keys struct_pack struct_position struct_update struct_values union_extract union_tag
    union_value
    array_to_json json json_array json_array_length json_contains json_exists json_extract
    json_extract_path json_extract_path_text json_extract_string json_keys json_object json_pretty
    json_quote json_structure json_type json_valid json_value row_to_json to_json
"""

AGGREGATES = """
    any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null
    arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg avg bit_and
    bit_or bit_xor bool_and bool_or corr count count_if count_star countif covar_pop covar_samp
    entropy favg first fsum geomean geometric_mean group_concat histogram histogram_exact
    json_group_array json_group_object kahan_sum kurtosis kurtosis_pop last list listagg mad max
    max_by mean median min min_by mode product quantile quantile_cont quantile_disc regr_avgx
    regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
    reservoir_quantile sem skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow
    sumkahan var_pop var_samp variance wavg weighted_avg
"""

WINDOWS = """
    cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank
    rank_dense row_number
"""

#: What is asked about the catalog itself, and about whoever asks
CATALOG = """
    current_catalog current_database current_role current_schema current_user duckdb_columns
    duckdb_constraints duckdb_tables duckdb_types duckdb_views session_user user version
"""

FUNCTIONS = frozenset(
    word.lower()
    for family in (OPERATORS, NUMBERS, TEXT, TIMES, LISTS, NESTED, AGGREGATES, WINDOWS, CATALOG)
    for word in family.split()
)

FROM = """
    range generate_series unnest duckdb_columns duckdb_constraints duckdb_tables duckdb_types
    duckdb_views
"""

#: Views of DuckDB's own that describe the catalog; others show paths, settings, secrets.
DESCRIBING = """
    duckdb_columns duckdb_constraints duckdb_tables duckdb_types duckdb_views sqlite_master
"""

#: Types of values. BIGNUM is left out: to read one takes the square of its length, in one step.
VALUES = """
    array bigint binary bit bitstring blob bool boolean bpchar bytea char date datetime dec decimal
    double enum float float4 float8 guid hugeint int int1 int128 int16 int2 int32 int4 int64 int8
    integer integral interval json list logical long map null numeric nvarchar oid real row short
    signed smallint string struct text time time_ns timestamp timestamp_ms timestamp_ns timestamp_s
    timestamp_us timestamptz timestamptz_ns timetz tinyint tuple ubigint uhugeint uint128 uint16
    uint32 uint64 uint8 uinteger unbound union usmallint utinyint uuid varbinary varchar
"""
WITH_ZONE = ["time with time zone", "timestamp with time zone"]

#: What information_schema has
SCHEMA_VIEWS = """
    character_sets columns constraint_column_usage key_column_usage referential_constraints schemata
    table_constraints tables views
"""

#: What a tree of a question is made of; a node of another kind may do more than read.
KINDS = """
    SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE
    BASE_TABLE SUBQUERY JOIN TABLE_FUNCTION EXPRESSION_LIST EMPTY PIVOT SHOW_REF COLUMN_DATA
    ORDER_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER DISTINCT_MODIFIER
    ORDER_DEFAULT ASCENDING DESCENDING
"""

TABLE_FUNCTIONS = frozenset(FROM.split())
TYPES = frozenset(VALUES.split()) | frozenset(WITH_ZONE)
INFORMATION = frozenset(SCHEMA_VIEWS.split())
SYSTEM_VIEWS = frozenset(DESCRIBING.split())
NODES = frozenset(KINDS.split())
