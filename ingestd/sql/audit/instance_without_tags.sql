-- Instances without a single element. Parts are stretches of instance_id: `tag` lies in its order.
SELECT i.root, i.path, i.SOPInstanceUID AS uid, NULL AS detail
FROM instance AS i
WHERE i.instance_id BETWEEN $first AND $last
  AND i.instance_id NOT IN (
    SELECT DISTINCT instance_id FROM tag WHERE instance_id BETWEEN $first AND $last)
