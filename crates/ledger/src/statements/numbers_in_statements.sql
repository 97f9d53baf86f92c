-- Which of these numbers ($1) stand in statements of a lane ($2), in lines of these kinds ($5). What stands in braces
-- is put in: the column by which lines are looked for is a name, which no parameter can be.
select n.atom,
  -- Where each does for the first time: the day, and the line's number behind a great one, so that the smallest comes first.
  min(s.day || cast({no_line} + l.line as text)),
  -- Whether one of the days from $3 to $4 has it.
  max(case when s.day between $3 and $4 then 1 else 0 end)
-- `cross join`: the list first, then the lines by the index of that number, then the statement of each.
from json_each($1) as n cross join statement_lines as l cross join statements as s
-- Each index leaves out what is empty, so that must be said too.
where l.{column} = n.atom and l.{column} <> '' and l.kind in (select atom from json_each($5))
  and s.id = l.statement_id and s.lane = $2 and s.pruned_at is null
group by n.atom
