-- Instances with elements of which nothing says what they are: `tag` does not show those.
SELECT i.root, i.path, i.SOPInstanceUID AS uid, NULL AS detail
FROM instance AS i
WHERE i.instance_id IN (
    SELECT e.instance_id FROM element AS e
    WHERE e.instance_id BETWEEN $first AND $last
      AND e.attribute_id NOT IN (SELECT attribute_id FROM attribute))
