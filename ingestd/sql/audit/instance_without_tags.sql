-- Instances without a single element. Parts are stretches of instance_id: `element` lies in its order.
SELECT i.root, i.path, i.SOPInstanceUID AS uid, NULL AS detail
FROM instance AS i
WHERE i.instance_id BETWEEN $first AND $last
  AND i.instance_id NOT IN (
    SELECT DISTINCT instance_id FROM element WHERE instance_id BETWEEN $first AND $last)
