-- Files that were refused just now, not those that are tried in vain once more; a step of writing a
-- batch in which something was at fault (decide.sql).
INSERT INTO event BY NAME
SELECT s.at_utc, 'file_refused' AS kind, o.root,
    format('{}: {} file{}', o.reason, count(*), if(count(*) > 1, 's', '')) AS detail
FROM outcome AS o
CROSS JOIN setting AS s
WHERE o.state = 'refused' AND o.reason <> 'dicomdir'
  AND (o.not_before_utc IS NULL OR o.attempts = s.attempts)
GROUP BY s.at_utc, o.root, o.reason
ORDER BY ALL;
