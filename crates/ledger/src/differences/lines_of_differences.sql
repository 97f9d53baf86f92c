-- The statement lines at which differences ($1) were found, where their statements are still there.
select cast(n.value ->> 'difference' as bigint) as difference_id, l.*
-- `cross join`: the list first, then the statement of each lane and day, then its line by its number.
from json_each($1) as n cross join statements as s cross join statement_lines as l
where s.lane = n.value ->> 'lane' and s.day = n.value ->> 'day' and s.pruned_at is null
  and l.statement_id = s.id and l.line = cast(n.value ->> 'line' as bigint)
