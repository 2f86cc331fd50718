-- Elements of no instance, once for each instance_id that they name.
SELECT NULL AS root, NULL AS path, NULL AS uid, instance_id::VARCHAR AS detail
FROM (SELECT DISTINCT instance_id FROM element WHERE instance_id BETWEEN $first AND $last)
WHERE instance_id NOT IN (
    SELECT instance_id FROM instance WHERE instance_id BETWEEN $first AND $last)
